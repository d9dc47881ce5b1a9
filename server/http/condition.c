#include "server/http/condition.h"

#include "server/http/chars.h"
#include "server/http/date.h"

enum comparison {
    COMPARISON_STRONG,
    COMPARISON_WEAK
};

/* Takes `[ "W/" ] DQUOTE *etagc DQUOTE` (RFC 9110 8.8.3) from the front, with its quotes. */
static bool take_etag(struct span *rest, struct span *ret_tag, bool *ret_is_weak)
{
    bool is_weak = rest->bytes >= 2 && rest->ptr[0] == 'W' && rest->ptr[1] == '/';
    struct span tag = is_weak ? span_skip(*rest, 2) : *rest;
    if (tag.bytes < 2 || tag.ptr[0] != '"') {
        return false;
    }
    const uint8_t *quote = memchr(tag.ptr + 1, '"', tag.bytes - 1);
    if (quote == NULL) {
        return false;
    }
    tag.bytes = (size_t)(quote - tag.ptr) + 1;
    *rest = span_of(quote + 1, rest->bytes - (size_t)(quote + 1 - rest->ptr));
    *ret_tag = tag;
    *ret_is_weak = is_weak;
    return true;
}

/* Passes over commas and white space; true when there was a comma or nothing is left. */
static bool skip_separator(struct span *rest)
{
    bool has_comma = false;
    *rest = http_trim(*rest);
    while (rest->bytes > 0 && rest->ptr[0] == ',') {
        has_comma = true;
        *rest = http_trim(span_skip(*rest, 1));
    }
    return has_comma || rest->bytes == 0;
}

/*
 * Whether `*` or one of the tags of a list is the file's, which is strong. A list that is malformed
 * counts up to there: its rest could mean anything.
 */
static bool list_matches(struct span list, struct span etag, enum comparison comparison)
{
    if (span_equal(list, SPAN("*"))) {
        return true;
    }
    (void)skip_separator(&list); /* empty elements may come first; none need */
    struct span tag;
    bool is_weak;
    while (take_etag(&list, &tag, &is_weak)) {
        bool may_match = comparison == COMPARISON_WEAK || !is_weak;
        if (may_match && span_equal(tag, etag)) {
            return true;
        }
        if (!skip_separator(&list)) {
            return false;
        }
    }
    return false;
}

enum http_condition http_condition_evaluate(const struct http_request *request,
                                            const struct http_validators *validators,
                                            int64_t now_seconds)
{
    int64_t date;
    /* Steps 1 and 2: does the client mean this version at all? */
    if (http_field_is_present(request->if_match)) {
        if (!list_matches(request->if_match, validators->etag, COMPARISON_STRONG)) {
            return HTTP_CONDITION_FAILED;
        }
    } else if (http_date_parse(request->if_unmodified_since, now_seconds, &date) &&
               validators->last_modified_seconds > date) {
        return HTTP_CONDITION_FAILED;
    }
    /* Steps 3 and 4: does it have it already? A tag, where given, is the better witness. */
    if (http_field_is_present(request->if_none_match)) {
        return list_matches(request->if_none_match, validators->etag, COMPARISON_WEAK)
                   ? HTTP_CONDITION_NOT_MODIFIED
                   : HTTP_CONDITION_PROCEED;
    }
    if (http_date_parse(request->if_modified_since, now_seconds, &date) &&
        validators->last_modified_seconds <= date) {
        return HTTP_CONDITION_NOT_MODIFIED;
    }
    return HTTP_CONDITION_PROCEED;
}

bool http_condition_allows_range(const struct http_request *request,
                                 const struct http_validators *validators,
                                 int64_t now_seconds)
{
    if (request->method != HTTP_METHOD_GET) {
        return false;
    }
    if (!http_field_is_present(request->if_range)) {
        return true;
    }
    int64_t date;
    return span_equal(request->if_range, validators->etag) ||
           (http_date_parse(request->if_range, now_seconds, &date) &&
            validators->last_modified_seconds == date);
}
