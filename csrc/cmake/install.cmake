# What `cmake --install` gives: libwhit.a, libwhit.so, whit.h, a CMake package and pkg-config files (docs/C_API.md).
#
# libwhit.a is one object that needs libc, libm and threads: all layers, with those members of the C++ runtime that they
# use, linked once with `ld -r`; then every symbol but whit.h's is made local, so that nothing in it can meet a program's
# own C++ runtime. The shared library is the same object. Where the compiler has no static libstdc++ (zig, libc++), the
# archives are merged as they are, and the program must be linked as C++.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_header ${PROJECT_SOURCE_DIR}/csrc/include/whit/whit.h)
set(_package ${PROJECT_BINARY_DIR}/package)
set(_static ${PROJECT_BINARY_DIR}/libwhit.a)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_header})

file(STRINGS ${_header} _declarations REGEX "^WHIT_API")
set(WHIT_API_SYMBOLS "")
foreach(_line IN LISTS _declarations)
  string(REGEX MATCH "whit_[a-z0-9_]+\\(" _symbol "${_line}")
  string(REPLACE "(" "" _symbol "${_symbol}")
  list(APPEND WHIT_API_SYMBOLS ${_symbol})
endforeach()
foreach(_part MAJOR MINOR PATCH)
  file(STRINGS ${_header} _line REGEX "^#define WHIT_VERSION_${_part} ")
  if(NOT _line MATCHES " ${PROJECT_VERSION_${_part}}$")
    message(FATAL_ERROR "whit.h: WHIT_VERSION_${_part} is not ${PROJECT_VERSION_${_part}}, as in CMakeLists.txt")
  endif()
endforeach()

separate_arguments(_flags NATIVE_COMMAND "${CMAKE_CXX_FLAGS}")
set(_runtime "")
foreach(_archive libstdc++.a libgcc_eh.a)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${_flags} -print-file-name=${_archive}
    OUTPUT_VARIABLE _path OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(IS_ABSOLUTE "${_path}")
    list(APPEND _runtime ${_path})
  endif()
endforeach()
list(LENGTH _runtime _found)
if(_found EQUAL 2 AND CMAKE_OBJCOPY AND NOT WHIT_ZIG)
  set(WHIT_SELF_CONTAINED ON)
else()
  set(WHIT_SELF_CONTAINED OFF)
  message(STATUS "No static libstdc++ and objcopy: programs with libwhit.a must be linked as C++")
endif()

set(_layers whit_capi whit_engine whit_ops ${whit_kernel_libraries} whit_model whit_codec whit_base)
set(_archives "")
set(_no_unwinding "")
foreach(_layer IN LISTS _layers)
  if(WHIT_SELF_CONTAINED AND _layer IN_LIST whit_kernel_libraries)
    # Nothing unwinds through a kernel: its tables (5 % of a program) stay out.
    list(APPEND _no_unwinding COMMAND ${CMAKE_OBJCOPY} --remove-section=.eh_frame --remove-section=.rela.eh_frame
      $<TARGET_FILE:${_layer}> ${_package}/lib${_layer}.a)
    list(APPEND _archives ${_package}/lib${_layer}.a)
  else()
    list(APPEND _archives $<TARGET_FILE:${_layer}>)
  endif()
endforeach()

file(WRITE ${_package}/exports.map "{ global: whit_*; local: *; };\n")
if(WHIT_SELF_CONTAINED)
  list(JOIN WHIT_API_SYMBOLS "\n" _lines)
  file(WRITE ${_package}/exports.txt "${_lines}\n")
  list(TRANSFORM WHIT_API_SYMBOLS PREPEND -Wl,-u, OUTPUT_VARIABLE _roots)
  add_custom_command(OUTPUT ${_package}/whit.o ${_static}
    ${_no_unwinding}
    COMMAND ${CMAKE_CXX_COMPILER} ${_flags} -r -nostdlib -o ${_package}/merged.o
            -Wl,--gc-sections -Wl,--force-group-allocation ${_roots}
            -Wl,-u,_ZN9__gnu_cxx27__verbose_terminate_handlerEv  # capi/terminate.cc, not libstdc++'s
            -Wl,--start-group ${_archives} ${_runtime} -Wl,--end-group
    COMMAND ${CMAKE_OBJCOPY} --wildcard --weaken-symbol=_Z* ${_package}/merged.o  # unique symbols resist the next step
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${_package}/exports.txt --strip-unneeded
            ${_package}/merged.o ${_package}/whit.o
    COMMAND ${CMAKE_COMMAND} -E rm -f ${_package}/merged.o ${_static}
    COMMAND ${CMAKE_AR} rcsD ${_static} ${_package}/whit.o
    DEPENDS ${_layers} ${_package}/exports.txt
    COMMENT "Linking libwhit.a" VERBATIM)
  set(WHIT_PRIVATE_LIBS "-lm -pthread")
  set(WHIT_LINK_LANGUAGE C)
else()
  set(_script "create ${_static}\n")
  foreach(_archive IN LISTS _archives)
    string(APPEND _script "addlib ${_archive}\n")
  endforeach()
  file(GENERATE OUTPUT ${_package}/merge.mri CONTENT "${_script}save\nend\n")
  add_custom_command(OUTPUT ${_static}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${_static}
    COMMAND sh -c "\"$0\" -M < \"$1\"" ${CMAKE_AR} ${_package}/merge.mri
    DEPENDS ${_layers} ${_package}/merge.mri
    COMMENT "Merging libwhit.a" VERBATIM)
  list(JOIN CMAKE_CXX_IMPLICIT_LINK_LIBRARIES " -l" WHIT_PRIVATE_LIBS)
  set(WHIT_PRIVATE_LIBS "-lm -pthread -l${WHIT_PRIVATE_LIBS}")
  set(WHIT_LINK_LANGUAGE CXX)
endif()
add_custom_target(whit_static ALL DEPENDS ${_static})

if(WHIT_SELF_CONTAINED)
  set_source_files_properties(${_package}/whit.o PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  add_library(whit_shared SHARED ${_package}/whit.o)
  add_dependencies(whit_shared whit_static)
  target_link_libraries(whit_shared PRIVATE m Threads::Threads)
else()
  file(WRITE ${_package}/empty.cc "")
  add_library(whit_shared SHARED ${_package}/empty.cc)
  target_link_libraries(whit_shared PRIVATE -Wl,--whole-archive whit_capi -Wl,--no-whole-archive m)
endif()
set_target_properties(whit_shared PROPERTIES OUTPUT_NAME whit LINKER_LANGUAGE ${WHIT_LINK_LANGUAGE}
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} VERSION ${PROJECT_VERSION} LINK_DEPENDS ${_package}/exports.map)
if(PROJECT_VERSION_MAJOR EQUAL 0)  # until 1.0 every minor version may change the interface
  set(WHIT_SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
else()
  set(WHIT_SOVERSION ${PROJECT_VERSION_MAJOR})
endif()
set_target_properties(whit_shared PROPERTIES SOVERSION ${WHIT_SOVERSION})
target_link_options(whit_shared PRIVATE
  -Wl,--version-script=${_package}/exports.map -Wl,--gc-sections -Wl,--as-needed -Wl,-z,defs)

set(_folder ${PROJECT_SOURCE_DIR}/csrc/cmake/package)
configure_package_config_file(${_folder}/whit-config.cmake.in ${_package}/whit-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/whit
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  write_basic_package_version_file(${_package}/whit-config-version.cmake COMPATIBILITY SameMinorVersion)
else()
  write_basic_package_version_file(${_package}/whit-config-version.cmake COMPATIBILITY SameMajorVersion)
endif()
configure_file(${_folder}/whit.pc.in ${_package}/whit.pc @ONLY)
configure_file(${_folder}/whit-static.pc.in ${_package}/whit-static.pc @ONLY)

install(TARGETS whit_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${_static} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${_header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/whit)
install(FILES ${_package}/whit-config.cmake ${_package}/whit-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/whit)
install(FILES ${_package}/whit.pc ${_package}/whit-static.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
