#include "server/worker/acceptor.h"

#include <errno.h>

#include "server/worker/worker_state.h"

static struct engine_token token_of(uint32_t listener_index)
{
    return (struct engine_token){.index = listener_index, .generation = 1};
}

/* Closes a connection that was served and waits between requests, going round. */
static bool give_up_an_idle_conn(struct worker *worker)
{
    for (uint32_t i = 0; worker->giving_count > 0 && i < worker->conn_top; i++) {
        struct conn *conn = &worker->conns[worker->idle_hand++ % worker->conn_top];
        if (conn->state == CONN_IDLE && conn->is_served) {
            conn_close(worker, conn);
            return true;
        }
    }
    return false;
}

/* Those that waited in spare places come first, in the order in which they were accepted. */
static void admit_waiting(struct worker *worker)
{
    while (worker->first_waiting_conn != CONN_NONE &&
           (worker->open_count < worker->conn_max || give_up_an_idle_conn(worker))) {
        conn_admit(worker, &worker->conns[worker->first_waiting_conn]);
    }
}

void acceptor_on_accept(struct worker *worker, const struct engine_event *event)
{
    struct acceptor *acceptor = &worker->acceptor;
    if (!event->has_more) {
        acceptor->is_accepting[event->token.index] = false;
        acceptor->is_cancelling[event->token.index] = false;
    }
    if (event->result >= 0) {
        conn_open(worker, event->result);
        admit_waiting(worker);
    } else if (event->result == -EINVAL) {
        acceptor->is_backing_off = true; /* the listener was shut down: a drain is on its way */
    } else if (event->result != -ECANCELED) {
        counter_add(&worker->counters.accept_failures, 1);
        (void)give_up_an_idle_conn(worker); /* none: the next tick tries again */
        acceptor->is_backing_off = true;
    }
}

void acceptor_on_tick(struct worker *worker)
{
    worker->acceptor.is_backing_off = false;
}

static bool has_place(const struct worker *worker)
{
    return worker->first_waiting_conn == CONN_NONE &&
           (worker->open_count < worker->conn_max || worker->giving_count > 0);
}

void acceptor_update(struct worker *worker)
{
    struct acceptor *acceptor = &worker->acceptor;
    admit_waiting(worker);
    const bool is_full = !has_place(worker);
    const bool should_accept = !is_full && !worker->is_draining && !acceptor->is_backing_off;
    for (uint32_t i = 0; i < worker->config.listen_count; i++) {
        if (should_accept && !acceptor->is_accepting[i]) {
            engine_start_accept(worker->engine, token_of(i), worker->config.listen_fds[i]);
            acceptor->is_accepting[i] = true;
        } else if (!should_accept && acceptor->is_accepting[i] && !acceptor->is_cancelling[i]) {
            engine_cancel(worker->engine, ENGINE_ACCEPT, token_of(i));
            acceptor->is_cancelling[i] = true;
            counter_add(&worker->counters.connections_full, is_full && !worker->is_draining);
        }
    }
}
