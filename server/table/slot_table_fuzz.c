/*
 * The slot table against its model, driven by bytes: four for the table, then three a step. The
 * property is the model's (slot_table_model.h).
 */
#include "server/table/slot_table.h"

#include <stddef.h>
#include <stdint.h>

#include "server/table/slot_table_model.h"

#define HEAD_BYTES 4
#define STEP_BYTES 3

/* Inputs beyond this find nothing that shorter ones do not. */
#define STEPS_MAX 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < HEAD_BYTES) {
        return 0;
    }
    const struct model_config config = {
        .slot_count = 1 + data[0] % 130,
        .key_count = 1 + data[1],
        .is_registered = data[2] % 4 != 0,
        .memory_share = data[2] % 8 < 4 ? 0 : 80,
        .failure_share = data[2] < 128 ? 0 : 60,
        .hash_seed = data[3],
    };
    struct model *model = model_create(&config);
    size_t step_count = (bytes - HEAD_BYTES) / STEP_BYTES;
    for (size_t i = 0; i < step_count && i < STEPS_MAX; i++) {
        const uint8_t *step = data + HEAD_BYTES + i * STEP_BYTES;
        model_step(model, step[0], (uint16_t)(step[1] | step[2] << 8));
        if (i % 8 == 0) {
            model_check(model);
        }
    }
    (void)model_finish(model); /* its counts are for the random test */
    return 0;
}
