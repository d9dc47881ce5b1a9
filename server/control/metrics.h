/*
 * A report as metrics: one row a sample, and Prometheus text format 0.0.4 of them. The rows come
 * from server/base/counters.def and metrics.def; docs/METRICS.md is checked against them.
 *
 * Pure; control thread.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "server/base/span.h"
#include "server/control/report.h"

#define METRICS_PREFIX "turntable_"

/* Rows of all metrics together; metrics_collect() asserts that they fit. */
#define METRICS_MAX 128

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
};

struct metric {
    enum metric_type type;
    const char *name;                  /* without the prefix */
    const char *label;                 /* label pairs, `code="2xx"`; "": none */
    const char *help;                  /* of this sample; often of all with the name */
    uint64_t value;                    /* counter, gauge */
    const struct histogram *histogram; /* METRIC_HISTOGRAM only */
};

struct metric_list {
    struct metric metrics[METRICS_MAX];
    uint32_t count;
    char info_labels[512]; /* text of the one label that is made at run time */
};

/** Lists every sample; samples of one name are neighbours. Points into `report`. */
void metrics_collect(const struct report *report, struct metric_list *ret_list);

/** The samples that share a metric's name, counted from the first of them. */
uint32_t metric_sample_count(const struct metric_list *list, uint32_t first_index);

/**
 * Writes what a metric means: the help of its samples or, where each has its own, all of them by
 * label value: "active: Connections with ...; idle: Connections ...".
 */
void metric_help_write(const struct metric_list *list, uint32_t first_index, FILE *out);

/** The value of a label text's first pair: `code="2xx"` gives 2xx. */
struct span metric_label_value(const char *label);

/** Prometheus' word for a type: "counter". */
const char *metric_type_word(enum metric_type type);

/** Writes the text format; errors stay with `out`. */
void metrics_write(const struct report *report, FILE *out);
