// libstdc++ prints what it knows before it ends a program, and brings a demangler along to do so: 40 kB that no program
// with whit in it needs, since nothing throws past whit.h.

#include <cstdlib>

#if defined(__GLIBCXX__)
namespace __gnu_cxx {  // NOLINT: replaces the library's own

void __verbose_terminate_handler();
void __verbose_terminate_handler() { std::abort(); }

}  // namespace __gnu_cxx
#endif
