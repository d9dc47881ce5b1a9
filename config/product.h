/*
 * What the product calls itself: --version, /status, the Server field. One place, so that they
 * agree; CHANGELOG.md says what a version has.
 */
#pragma once

#define PRODUCT_NAME    "turntable"
#define PRODUCT_VERSION "0.1.0"
