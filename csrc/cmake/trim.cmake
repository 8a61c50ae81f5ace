# WHIT_OPS: the operators of a trimmed build, by the names of model/op_list.inc, as `whit inspect --ops MODEL.whit` prints
# them. Only these and the kernels they need get into a program; loading a model with another one is an error. `sparse`
# among them brings the kernels for weights that are mostly 0; without it conv and gemm run dense. `w4` brings those for
# weights that stay codes of 4 or 2 bits; without it they become s8. `binarize` brings those of
# conv, gemm and max_pool for bits.

set(WHIT_OPS "" CACHE STRING "Operators to build, separated by ; or spaces (empty: all)")

string(REGEX REPLACE "[ ,;\t\n]+" ";" _ops "${WHIT_OPS}")
list(REMOVE_ITEM _ops "")
list(REMOVE_DUPLICATES _ops)
set(_op_list ${PROJECT_SOURCE_DIR}/csrc/model/op_list.inc)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_op_list})
file(STRINGS ${_op_list} _known REGEX "^WHIT_OP\\([a-z0-9_]+,")
list(TRANSFORM _known REPLACE "^WHIT_OP\\(([a-z0-9_]+),.*" "\\1")
list(APPEND _known sparse w4)
foreach(_op IN LISTS _ops)
  if(NOT _op IN_LIST _known)
    list(JOIN _known " " _names)
    message(FATAL_ERROR "WHIT_OPS: there is no operator '${_op}'. Operators: ${_names}")
  endif()
endforeach()
if(_ops)
  list(JOIN _ops "," _joined)
  message(STATUS "whit is trimmed to WHIT_OPS: ${_ops}")
  set_source_files_properties(
    ops/registry.cc ops/conv.cc ops/gemm.cc ops/pool.cc PROPERTIES COMPILE_DEFINITIONS "WHIT_OPS=\",${_joined},\"")
endif()
