# How whit's libraries are declared: one static library per layer or kernel family, so that a layer can only
# include what it links.

find_package(Threads REQUIRED)

add_library(whit_options INTERFACE)
target_compile_options(whit_options INTERFACE
  -Wall -Wextra $<$<BOOL:${WHIT_WERROR}>:-Werror>
  -ffp-contract=off      # the order of multiply and add is part of the results (docs/NUMERICS.md)
  -fwrapv               # integer sums wrap alike on every ISA
  -fno-math-errno -fno-trapping-math)
target_include_directories(whit_options INTERFACE ${PROJECT_SOURCE_DIR}/csrc)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(whit_options INTERFACE -Wno-restrict)  # false alarms on std::string (GCC bug 105651)
endif()
if(WHIT_ARCH STREQUAL aarch64)
  target_compile_options(whit_options INTERFACE -mno-outline-atomics)
endif()
if(WHIT_ARCH STREQUAL arm)
  target_compile_options(whit_options INTERFACE -funwind-tables)  # as elsewhere: std::bad_alloc reaches the bindings
endif()
if(WHIT_ARCH STREQUAL arm AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(whit_options INTERFACE -Wno-psabi)  # notes on what changed in GCC 7's calling convention
endif()
foreach(level IN LISTS WHIT_ISA_LEVELS)
  target_compile_definitions(whit_options INTERFACE ${WHIT_ISA_DEFINE_${level}})
endforeach()
if(WHIT_SANITIZE)
  # Without vptr: the libraries are built without RTTI.
  target_compile_options(whit_options INTERFACE -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(whit_options INTERFACE -fsanitize=address,undefined -fno-sanitize=vptr)
endif()

# whit_library(NAME [KERNELS|SMALL] SOURCES ... DEPS ...): code below the bindings. It neither throws nor catches
# (tools/check-layers), but cleans up when the C++ library throws std::bad_alloc; kernels call nothing that does.
# Sections let the linker leave out what a program does not use. SMALL: code that runs once a model, optimised for size.
function(whit_library name)
  cmake_parse_arguments(arg "KERNELS;SMALL" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  if(arg_KERNELS)
    target_compile_options(${name} PRIVATE -fno-exceptions -fno-rtti)
  else()
    target_compile_options(${name} PRIVATE -fno-rtti -ffunction-sections -fdata-sections
      $<$<CONFIG:Release>:$<IF:$<BOOL:${arg_SMALL}>,-Os,-O2>>)
    if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
      target_compile_options(${name} PRIVATE -fno-gnu-unique)  # its symbols would stay global in libwhit.a
    endif()
  endif()
  target_link_libraries(${name} PUBLIC whit_options ${arg_DEPS})
endfunction()

# whit_kernel_family(FAMILY DEPS ...): csrc/kernels/FAMILY; <level>.cc files get their level's flags.
function(whit_kernel_family family)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  set(folder ${PROJECT_SOURCE_DIR}/csrc/kernels/${family})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc)
  foreach(level neon neondot i8mm neon32 avx2 avxvnni avx512vnni avx512icl amx)
    set(file ${folder}/${level}.cc)
    if(EXISTS ${file})
      if(level IN_LIST WHIT_ISA_LEVELS)
        set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${WHIT_ISA_FLAGS_${level}}")
      else()
        list(REMOVE_ITEM sources ${file})
      endif()
    endif()
  endforeach()
  if(WHIT_ARCH STREQUAL aarch64)
    # Every such CPU has NEON, so the scalar kernels are there to be compared with, and to be small.
    set_source_files_properties(${folder}/scalar.cc PROPERTIES COMPILE_OPTIONS -Os)
  endif()
  whit_library(whit_kernels_${family} KERNELS SOURCES ${sources} DEPS whit_base ${arg_DEPS})
endfunction()
