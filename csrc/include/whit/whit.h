/* whit: run a .whit file from C or C++.
 *
 *     whit_error error;
 *     whit_model *model;
 *     whit_session *session;
 *     whit_input in = {pixels, sizeof pixels};
 *     whit_output out = {scores, sizeof scores};
 *     if (whit_model_load_file("model.whit", NULL, &model, &error) != WHIT_OK ||
 *         whit_session_create(model, NULL, &session, &error) != WHIT_OK ||
 *         whit_session_run(session, &in, 1, &out, 1, &error) != WHIT_OK)
 *       fprintf(stderr, "%s\n", error.message);
 *     whit_session_free(session);
 *     whit_model_free(model);
 *
 * Rules that hold for every function:
 *
 *   - C99. Nothing throws, aborts, prints or exits. There is no global state and nothing to initialise.
 *   - What can fail returns a whit_status and fills in a whit_error that the caller owns; it may be NULL. A function
 * that failed has changed nothing, and a handle it should have made is NULL.
 *   - A NULL handle is an error where there is a status; else it gives 0, NULL or a shape of rank -1.
 *   - Text is UTF-8, ends in a zero byte, and belongs to the handle it came from.
 *   - Threads: a whit_model may be used by any number of threads at once, a whit_session by one at a time. Several
 *     sessions of one model run in parallel and share its weights.
 *   - Binary compatibility: a program that was compiled with this header runs with every later library of the same
 *     WHIT_VERSION_MAJOR (while that is 0: of the same WHIT_VERSION_MINOR).
 */
#ifndef WHIT_WHIT_H
#define WHIT_WHIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WHIT_API __attribute__((visibility("default")))
#else
#define WHIT_API
#endif

/* --- version --- */

/* The version of this header. */
#define WHIT_VERSION_MAJOR 0
#define WHIT_VERSION_MINOR 1
#define WHIT_VERSION_PATCH 0

/* One number that grows with every version: 1.2.3 is 10203. */
#define WHIT_VERSION (WHIT_VERSION_MAJOR * 10000 + WHIT_VERSION_MINOR * 100 + WHIT_VERSION_PATCH)

/* The WHIT_VERSION of the library that the program runs with. */
WHIT_API int32_t whit_version(void);

/* --- errors --- */

/* What kind of failure it was. Later versions may add values. */
typedef int32_t whit_status;
enum {
  WHIT_OK = 0,
  WHIT_INVALID_ARGUMENT = 1, /* the caller passed something wrong: NULL, a count, a buffer's size, an option */
  WHIT_FORMAT = 2,           /* the file is damaged, hostile or not a .whit file */
  WHIT_VERSION_TOO_NEW = 3,  /* the file is of a version that this library does not read */
  WHIT_UNSUPPORTED = 4,      /* valid, but not something that this library (or a trimmed build of it) can run */
  WHIT_SHAPE = 5,            /* shapes do not fit the model or each other */
  WHIT_IO = 6,               /* the operating system refused: no such file, no permission, ... */
  WHIT_OUT_OF_MEMORY = 7,
  WHIT_BUSY = 8,    /* another thread is using this session */
  WHIT_INTERNAL = 9 /* a mistake in whit: please report it */
};

/* "WHIT_OK", "WHIT_SHAPE", ...; "unknown status" for other numbers. Never NULL. */
WHIT_API const char* whit_status_name(whit_status status);

/* Says what was wrong, where, and what to do. Longer messages are cut between two characters. */
#define WHIT_MESSAGE_BYTES 508
typedef struct whit_error {
  whit_status status;               /* the same as the function returned; WHIT_OK after success */
  char message[WHIT_MESSAGE_BYTES]; /* "" after success */
} whit_error;

/* --- types and shapes --- */

/* Type of one element. The numbers are those of the file format; later versions may add some. */
typedef int32_t whit_dtype;
enum { WHIT_DTYPE_NONE = -1, WHIT_F32 = 0, WHIT_S8 = 1, WHIT_U8 = 2, WHIT_S32 = 3, WHIT_S16 = 4, WHIT_F16 = 5 };

/* "f32", "s8", ...; "unknown dtype" for other numbers. Never NULL. */
WHIT_API const char* whit_dtype_name(whit_dtype dtype);

/* Bits of one element: 32 for WHIT_F32; 0 for numbers that are no dtype. */
WHIT_API int32_t whit_dtype_bits(whit_dtype dtype);

/* Sizes of a tensor, outermost first, row-major. */
#define WHIT_MAX_RANK 8
typedef struct whit_shape {
  int32_t rank;                 /* 0: a single element; -1: there is no such shape (getters only) */
  int32_t reserved;             /* 0 */
  int64_t sizes[WHIT_MAX_RANK]; /* -1: known only at run time (whit_session_set_shapes); 0 from `rank` on */
} whit_shape;

/* --- instruction sets --- */

/* The best instruction set that this CPU has and this build has kernels for: "neon", "neondot", "avx512vnni", ... */
WHIT_API const char* whit_isa_best(void);

/* 1 if this CPU has the instruction set `name` and this build has kernels for it, else 0. */
WHIT_API int32_t whit_isa_usable(const char* name);

/* --- models --- */

/* A loaded file and the weights as packed for this CPU. */
typedef struct whit_model whit_model;

/* How to load. NULL stands for the defaults; zero every field that is not wanted:
 *     whit_model_options options = {0};
 *     options.struct_bytes = sizeof options; */
typedef struct whit_model_options {
  size_t struct_bytes; /* sizeof(whit_model_options): tells the library which fields the caller knows */
  const char* isa;     /* use this instruction set and those below it: "neon"; NULL: what the environment variable
                          WHIT_ISA says, else the best. One that this CPU or build lacks is WHIT_INVALID_ARGUMENT. */
} whit_model_options;

/* Loads a file by mapping it into memory: weights are not copied, and the file must not be changed in place while the
 * model lives (replacing it by rename is fine). Everything in the file is checked; nothing in it is trusted. */
WHIT_API whit_status whit_model_load_file(const char* path, const whit_model_options* options, whit_model** model,
                                          whit_error* error);

/* Loads from memory that the caller keeps, unchanged, until the model and all its sessions are freed. Nothing is
 * copied: made for arrays of `whit export-c`. `data` must be on a 64-byte boundary, or it is WHIT_INVALID_ARGUMENT. */
WHIT_API whit_status whit_model_load_memory(const void* data, size_t bytes, const whit_model_options* options,
                                            whit_model** model, whit_error* error);

/* Loads from a copy of `data`, which may lie anywhere and may be freed right after. */
WHIT_API whit_status whit_model_load_copy(const void* data, size_t bytes, const whit_model_options* options,
                                          whit_model** model, whit_error* error);

/* Lets go of the model. Its sessions keep what they need, so the order of freeing does not matter. NULL is fine. */
WHIT_API void whit_model_free(whit_model* model);

/* The best instruction set that this model's kernels may use: "neondot". */
WHIT_API const char* whit_model_isa(const whit_model* model);

/* Size of the file. */
WHIT_API uint64_t whit_model_file_bytes(const whit_model* model);

/* Memory of the weights packed so far. Sessions pack them when they are made; later ones find them done. */
WHIT_API size_t whit_model_packed_bytes(const whit_model* model);

/* --- inputs and outputs --- */

/* An input or output of a model; belongs to the model and lives as long. */
typedef struct whit_tensor whit_tensor;

WHIT_API size_t whit_model_input_count(const whit_model* model);
WHIT_API size_t whit_model_output_count(const whit_model* model);

/* The input or output at this place; NULL if there are not so many. */
WHIT_API const whit_tensor* whit_model_input(const whit_model* model, size_t index);
WHIT_API const whit_tensor* whit_model_output(const whit_model* model, size_t index);

WHIT_API const char* whit_tensor_name(const whit_tensor* tensor);
WHIT_API whit_dtype whit_tensor_dtype(const whit_tensor* tensor);

/* The shape as the file states it, with -1 for sizes that are known only at run time. */
WHIT_API whit_shape whit_tensor_shape(const whit_tensor* tensor);

/* The file's word for a size that is -1 ("batch"); "" for one that is fixed. */
WHIT_API const char* whit_tensor_size_name(const whit_tensor* tensor, int32_t axis);

/* Quantisation: real = (q - zero_points[i]) * scales[i].
 * Returns how many there are: 0 for a tensor that is not quantised (or a constant with scales by groups), 1 for one
 * scale for all (`axis` becomes -1), else one for each index of `axis`. Pointers may be NULL. */
WHIT_API size_t whit_tensor_quantization(const whit_tensor* tensor, const float** scales, const int32_t** zero_points,
                                         int32_t* axis);

/* --- metadata --- */

/* What the file's producer stored, as JSON text (RFC 8259). `pointer` is a JSON Pointer (RFC 6901): "" is the whole
 * document, "/preprocess/image/mean/0" the first mean of the input "image". Returns the value's text as it stands in
 * the file and its length in `bytes` (may be NULL): strings keep their quotes and escapes, and the text does NOT end in
 * a zero byte after the value. NULL if there is no such value. */
WHIT_API const char* whit_model_metadata(const whit_model* model, const char* pointer, size_t* bytes);

/* 1 and the number at `pointer`, whatever the locale; 0 (and `value` as it was) if there is none or it is no number. */
WHIT_API int32_t whit_model_metadata_number(const whit_model* model, const char* pointer, double* value);

/* --- sessions --- */

/* What one inference at a time needs: memory for the tensors and threads of its own. */
typedef struct whit_session whit_session;

/* NULL stands for the defaults; zero every field that is not wanted. */
typedef struct whit_session_options {
  size_t struct_bytes; /* sizeof(whit_session_options) */
  int32_t threads;     /* of one inference, with the calling one: 1 to 1024. 0: the environment variable
                          WHIT_NUM_THREADS, else the CPUs that the affinity mask and the cgroup quota allow */
  int32_t reserved;    /* 0 */
} whit_session_options;

/* Makes a session: chooses kernels, packs the weights, reserves memory. Open sizes are taken as 1 at first. */
WHIT_API whit_status whit_session_create(whit_model* model, const whit_session_options* options, whit_session** session,
                                         whit_error* error);

/* Stops the threads and frees the memory. NULL is fine. */
WHIT_API void whit_session_free(whit_session* session);

/* Threads of one inference: those asked for, or fewer if the system refused to start as many. */
WHIT_API int32_t whit_session_threads(const whit_session* session);

/* Sets the sizes of all inputs (`count` of them, in order, without -1) for the next runs. Needed only where the file
 * leaves sizes open. Shapes that do not fit are WHIT_SHAPE and leave the session as it was. Allocates; the same shapes
 * again cost nothing. */
WHIT_API whit_status whit_session_set_shapes(whit_session* session, const whit_shape* shapes, size_t count,
                                             whit_error* error);

/* Shapes and sizes of the next run's buffers. Rank -1 and 0 bytes for a place that does not exist, and before
 * whit_session_set_shapes where an open size cannot be 1. */
WHIT_API whit_shape whit_session_input_shape(const whit_session* session, size_t index);
WHIT_API whit_shape whit_session_output_shape(const whit_session* session, size_t index);
WHIT_API size_t whit_session_input_bytes(const whit_session* session, size_t index);
WHIT_API size_t whit_session_output_bytes(const whit_session* session, size_t index);

/* Memory that the tensors between inputs and outputs share, at the present shapes. */
WHIT_API size_t whit_session_arena_bytes(const whit_session* session);

/* --- running --- */

/* Buffers of the caller: dense, row-major, of exactly the size that the session says, aligned for their elements. */
typedef struct whit_input {
  const void* data;
  size_t bytes;
} whit_input;
typedef struct whit_output {
  void* data;
  size_t bytes;
} whit_output;

/* One inference: reads `inputs`, writes `outputs` (in the model's order, all of them). An output may overlap neither an
 * input nor another output. Does not allocate. The results do not depend on the number of threads. */
WHIT_API whit_status whit_session_run(whit_session* session, const whit_input* inputs, size_t input_count,
                                      const whit_output* outputs, size_t output_count, whit_error* error);

/* --- profile --- */

/* The operators of one inference, in their order. Those that compute nothing (reshapes) are not among them. */
WHIT_API size_t whit_session_node_count(const whit_session* session);

/* Name of the node, of its operator ("conv") and of the kernel ("gemm_s8s8s32_4x16k4_neondot") that was chosen for it.
 * NULL if there are not so many. The text lives until the next whit_session_set_shapes. */
WHIT_API const char* whit_session_node_name(const whit_session* session, size_t index);
WHIT_API const char* whit_session_node_op(const whit_session* session, size_t index);
WHIT_API const char* whit_session_node_kernel(const whit_session* session, size_t index);

/* As whit_session_run, and adds what each node took to nanoseconds[i]; `node_count` must be whit_session_node_count.
 * Zero the array before the first of several runs that are to be summed up. */
WHIT_API whit_status whit_session_profile(whit_session* session, const whit_input* inputs, size_t input_count,
                                          const whit_output* outputs, size_t output_count, uint64_t* nanoseconds,
                                          size_t node_count, whit_error* error);

#ifdef __cplusplus
}
#endif

#endif /* WHIT_WHIT_H */
