/* whit.h alone, as C99 (-pedantic) and, through header.cc, as C++. Never run: it must compile and link. */
#include "include/whit/whit.h"

whit_status header_compiles(const char *path);

whit_status header_compiles(const char *path) {
  whit_error error;
  whit_model *model = NULL;
  whit_session *session = NULL;
  float value = 0;
  whit_input in;
  whit_output out;
  whit_status status;
  in.data = &value;
  out.data = &value;
  in.bytes = out.bytes = sizeof value;
  status = whit_model_load_file(path, NULL, &model, &error);
  if (status == WHIT_OK) status = whit_session_create(model, NULL, &session, &error);
  if (status == WHIT_OK) status = whit_session_run(session, &in, 1, &out, 1, &error);
  whit_session_free(session);
  whit_model_free(model);
  return status;
}
