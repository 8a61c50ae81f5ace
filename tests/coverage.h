#pragma once
// Which kernels the tests of one executable ran. doctest_main.cc prints them at the end, and tests/arm/run reads that
// line, so that a level cannot drop out of the tests unnoticed.

#include <string_view>

namespace whit::test {

/// Notes that a kernel ran; its name ends in its level: "lut_neon". Names without a level are left out.
void note_kernel(std::string_view name);

}  // namespace whit::test
