#define MUSICNN_KERNELS kAvx512Kernels
#define MUSICNN_NAME "avx512"
#define MUSICNN_WIDTH 16
#include "kernels_impl.h"
