#include "header.c"  // NOLINT: the same text in the other language
