#define MUSICNN_KERNELS kBaseKernels
#define MUSICNN_NAME "base"
#define MUSICNN_WIDTH 4
#include "kernels_impl.h"
