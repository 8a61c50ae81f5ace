/* Classifies one picture:
 *
 *     classify MODEL.whit PICTURE.raw [LABELS.txt]
 *
 * PICTURE.raw holds the pixels and nothing else: one byte for each channel (red, green, blue, or one of grey), row by
 * row, in exactly the height and width that the model takes. `convert photo.jpg -resize 224x224! -depth 8
 * rgb:PICTURE.raw` makes one. LABELS.txt has the name of one class a line. How pixels become the model's input (scale,
 * mean, std, layout) is read from the model's metadata, where `whit compress --preprocess` put it.
 *
 * With -DCLASSIFY_EXPORTED the model is part of the program (whit export-c MODEL.whit -o classify_model.c), which then
 * takes no MODEL.whit and needs no file system for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whit/whit.h>

#ifdef CLASSIFY_EXPORTED
#include "classify_model.h"
enum { FIRST_ARGUMENT = 1 };
#else
enum { FIRST_ARGUMENT = 2 };
#endif

enum { TOP = 5, MAX_CHANNELS = 4, LABEL_BYTES = 80 };

/* How a pixel becomes a value: (pixel * scale - mean) / std. */
typedef struct steps {
  double scale;
  float mean[MAX_CHANNELS], std[MAX_CHANNELS];
  int channels_first; /* NCHW rather than NHWC */
  int reversed;       /* blue first */
  int64_t height, width, channels;
} steps;

static int fail(const char* text) {
  fprintf(stderr, "classify: %s\n", text);
  return 1;
}

/* The number at /preprocess/INPUT/KEY, /preprocess/INPUT/KEY/INDEX or, for lists of one, /preprocess/INPUT/KEY/0. */
static double setting(const whit_model* model, const char* input, const char* key, int index, double otherwise) {
  char pointer[256];
  double value = otherwise;
  snprintf(pointer, sizeof pointer, "/preprocess/%s/%s", input, key);
  if (whit_model_metadata_number(model, pointer, &value)) return value;
  snprintf(pointer, sizeof pointer, "/preprocess/%s/%s/0", input, key);
  whit_model_metadata_number(model, pointer, &value);
  snprintf(pointer, sizeof pointer, "/preprocess/%s/%s/%d", input, key, index);
  whit_model_metadata_number(model, pointer, &value);
  return value;
}

/* 1 if /preprocess/INPUT/KEY is the string `word`. */
static int setting_is(const whit_model* model, const char* input, const char* key, const char* word) {
  char pointer[256];
  size_t bytes;
  const char* text;
  snprintf(pointer, sizeof pointer, "/preprocess/%s/%s", input, key);
  text = whit_model_metadata(model, pointer, &bytes);
  return text && bytes == strlen(word) + 2 && memcmp(text + 1, word, bytes - 2) == 0; /* without its quotes */
}

/* What the file says about pictures; 0 if the input is none. */
static int read_steps(const whit_model* model, whit_shape shape, steps* s) {
  const char* input = whit_tensor_name(whit_model_input(model, 0));
  int c;
  if (shape.rank != 4 || shape.sizes[0] != 1) return 0;
  s->channels_first = !setting_is(model, input, "layout", "NHWC");
  s->reversed = setting_is(model, input, "channels", "BGR");
  s->channels = shape.sizes[s->channels_first ? 1 : 3];
  s->height = shape.sizes[s->channels_first ? 2 : 1];
  s->width = shape.sizes[s->channels_first ? 3 : 2];
  if (s->channels < 1 || s->channels > MAX_CHANNELS) return 0;
  s->scale = setting(model, input, "scale", 0, 1);
  for (c = 0; c < MAX_CHANNELS; ++c) {
    s->mean[c] = (float)setting(model, input, "mean", c, 0);
    s->std[c] = (float)setting(model, input, "std", c, 1);
  }
  return 1;
}

/* A model that was compressed with --inputs u8 takes the pixels themselves. */
static void prepare(const steps* s, const unsigned char* pixels, whit_dtype dtype, void* values) {
  const int64_t area = s->height * s->width;
  int64_t i, c;
  for (i = 0; i < area; ++i) {
    for (c = 0; c < s->channels; ++c) {
      const unsigned char pixel = pixels[i * s->channels + (s->reversed ? s->channels - 1 - c : c)];
      const int64_t place = s->channels_first ? c * area + i : i * s->channels + c;
      const float scaled = (float)(pixel * s->scale);
      if (dtype == WHIT_U8)
        ((unsigned char*)values)[place] = pixel;
      else
        ((float*)values)[place] = (scaled - s->mean[c]) / s->std[c];
    }
  }
}

/* Reads exactly `bytes` bytes; 0 if the file has fewer or more. */
static int read_exactly(const char* path, unsigned char* out, size_t bytes) {
  FILE* file = fopen(path, "rb");
  int right = file && fread(out, 1, bytes, file) == bytes && fgetc(file) == EOF;
  if (file) fclose(file);
  return right;
}

static void print_label(FILE* labels, size_t index) {
  char line[LABEL_BYTES] = "";
  size_t i;
  if (!labels) return;
  rewind(labels);
  for (i = 0; i <= index; ++i)
    if (!fgets(line, sizeof line, labels)) return;
  line[strcspn(line, "\r\n")] = '\0';
  printf(" %s", line);
}

static void print_top(const float* scores, size_t count, FILE* labels) {
  size_t best[TOP], found = 0, i, k;
  for (i = 0; i < count; ++i) {
    for (k = found; k > 0 && scores[best[k - 1]] < scores[i]; --k)
      if (k < TOP) best[k] = best[k - 1];
    if (k >= TOP) continue;
    best[k] = i;
    if (found < TOP) ++found;
  }
  for (k = 0; k < found; ++k) {
    printf("%lu %.6g", (unsigned long)best[k], scores[best[k]]);
    print_label(labels, best[k]);
    printf("\n");
  }
}

static int classify(const whit_model* model, whit_session* session, const char* picture, FILE* labels) {
  whit_error error;
  whit_input in;
  whit_output out;
  steps s;
  unsigned char* pixels;
  size_t count;
  int status = 1;
  const whit_dtype dtype = whit_tensor_dtype(whit_model_input(model, 0));
  if (whit_model_input_count(model) != 1 || whit_model_output_count(model) != 1 ||
      (dtype != WHIT_F32 && dtype != WHIT_U8) || whit_tensor_dtype(whit_model_output(model, 0)) != WHIT_F32 ||
      !read_steps(model, whit_session_input_shape(session, 0), &s))
    return fail("the model is not one that takes a picture and gives scores (f32)");
  in.bytes = whit_session_input_bytes(session, 0);
  out.bytes = whit_session_output_bytes(session, 0);
  count = in.bytes / (dtype == WHIT_U8 ? 1 : sizeof(float));
  pixels = malloc(count);
  in.data = malloc(in.bytes);
  out.data = malloc(out.bytes);
  if (!pixels || !in.data || !out.data) {
    fail("out of memory");
  } else if (!read_exactly(picture, pixels, count)) {
    fprintf(stderr, "classify: %s: must be a file of %ld bytes (%ld x %ld pixels of %ld channels)\n", picture,
            (long)count, (long)s.width, (long)s.height, (long)s.channels);
  } else {
    prepare(&s, pixels, dtype, (void*)in.data);
    if (whit_session_run(session, &in, 1, &out, 1, &error) != WHIT_OK) {
      fail(error.message);
    } else {
      print_top(out.data, out.bytes / sizeof(float), labels);
      status = 0;
    }
  }
  free(out.data);
  free((void*)in.data);
  free(pixels);
  return status;
}

int main(int argc, char** argv) {
  whit_error error;
  whit_model* model;
  whit_session* session = NULL;
  FILE* labels = NULL;
  int status = 1;
  if (argc < FIRST_ARGUMENT + 1 || argc > FIRST_ARGUMENT + 2)
    return fail("see the top of classify.c for its arguments");
  if (argc == FIRST_ARGUMENT + 2 && !(labels = fopen(argv[FIRST_ARGUMENT + 1], "r")))
    return fail("no such labels file");
#ifdef CLASSIFY_EXPORTED
  whit_model_load_memory(classify_model, classify_model_size, NULL, &model, &error);
#else
  whit_model_load_file(argv[1], NULL, &model, &error);
#endif
  if (error.status != WHIT_OK || whit_session_create(model, NULL, &session, &error) != WHIT_OK)
    fail(error.message);
  else
    status = classify(model, session, argv[FIRST_ARGUMENT], labels);
  whit_session_free(session);
  whit_model_free(model);
  if (labels) fclose(labels);
  return status;
}
