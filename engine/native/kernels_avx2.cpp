#define MUSICNN_KERNELS kAvx2Kernels
#define MUSICNN_NAME "avx2"
#define MUSICNN_WIDTH 8
#include "kernels_impl.h"
