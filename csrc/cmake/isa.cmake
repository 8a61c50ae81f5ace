# The one table of instruction sets: level -> target architecture, compiler flags, define.
# A file named <level>.cc in a kernel family's folder is compiled with that row's flags;
# every other file of the project is compiled for the base of the target.

set(WHIT_ISA_LEVELS "" CACHE INTERNAL "levels compiled for this target")

function(whit_isa level)
  cmake_parse_arguments(row "" "ARCH;DEFINE" "FLAGS;ZIG_FLAGS" ${ARGN})
  if(NOT row_ARCH STREQUAL WHIT_ARCH)
    return()
  endif()
  if(WHIT_ZIG AND row_ZIG_FLAGS)
    set(row_FLAGS ${row_ZIG_FLAGS})
  endif()
  set(WHIT_ISA_LEVELS ${WHIT_ISA_LEVELS} ${level} CACHE INTERNAL "")
  set(WHIT_ISA_FLAGS_${level} "${row_FLAGS}" CACHE INTERNAL "")
  set(WHIT_ISA_DEFINE_${level} ${row_DEFINE} CACHE INTERNAL "")
endfunction()

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" _processor)
if(_processor MATCHES "^(x86_64|amd64)$")
  set(WHIT_ARCH x86_64)
elseif(_processor MATCHES "^(aarch64|arm64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(WHIT_ARCH aarch64)
elseif(_processor MATCHES "^(arm|aarch64|arm64)")
  set(WHIT_ARCH arm)
else()
  set(WHIT_ARCH other)
endif()

# zig (WHIT_ZIG, set by its toolchain files) has its own spelling of ARM's architectures.
whit_isa(neon       ARCH aarch64 DEFINE WHIT_HAVE_NEON)
whit_isa(neondot    ARCH aarch64 DEFINE WHIT_HAVE_NEONDOT    FLAGS -march=armv8.2-a+dotprod ZIG_FLAGS -mcpu=generic+v8_2a+dotprod)
whit_isa(i8mm       ARCH aarch64 DEFINE WHIT_HAVE_I8MM       FLAGS -march=armv8.2-a+dotprod+i8mm ZIG_FLAGS -mcpu=generic+v8_2a+dotprod+i8mm)
whit_isa(neon32     ARCH arm     DEFINE WHIT_HAVE_NEON32     FLAGS -march=armv7-a -mfpu=neon-vfpv4 ZIG_FLAGS -mcpu=generic+v7a+neon+vfp4)
whit_isa(avx2       ARCH x86_64  DEFINE WHIT_HAVE_AVX2       FLAGS -mavx2 -mfma)
set(_avx512vnni -mavx2 -mfma -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni)
whit_isa(avxvnni    ARCH x86_64  DEFINE WHIT_HAVE_AVXVNNI    FLAGS -mavx2 -mfma -mavxvnni)
whit_isa(avx512vnni ARCH x86_64  DEFINE WHIT_HAVE_AVX512VNNI FLAGS ${_avx512vnni})
whit_isa(avx512icl  ARCH x86_64  DEFINE WHIT_HAVE_AVX512ICL  FLAGS ${_avx512vnni} -mavx512vbmi -mavx512vbmi2 -mavx512bitalg -mavx512vpopcntdq)
whit_isa(amx        ARCH x86_64  DEFINE WHIT_HAVE_AMX        FLAGS ${_avx512vnni} -mamx-tile -mamx-int8)
