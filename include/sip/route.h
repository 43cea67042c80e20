/*
 * The lines that keep us on the way back: Path, Record-Route, Route. Pure.
 * RFC 3261 16.4, 16.6 steps 4 and 6, 16.12; RFC 3327; RFC 5626 5.1; RFC 5658.
 */
#ifndef BONO_SIP_ROUTE_H
#define BONO_SIP_ROUTE_H

#include "base/buffer.h"
#include "sip/uri.h"
#include "sip/via.h"

/* How one of our listeners is called in URIs. */
struct route_self {
	struct slice host_port; /* "edge.example.net:5060", brackets for IPv6 */
	enum sip_transport transport;
};

/* Appends "<sip:TOKEN@host:port;transport=tcp;lr;ob>" (ob only if asked; transport always written). */
void route_write_uri(struct buffer *out, const struct route_self *self, struct slice token,
                     bool ob);
/* Appends complete lines: "Path: <...>\r\n", "Record-Route: <...>\r\n". */
void route_write_path(struct buffer *out, const struct route_self *self, struct slice token,
                      bool ob);
/* One line "Record-Route: <...;lr;rs=MARK>\r\n"; mark empty: without (sip/route_set.h says what it is). */
void route_write_record_route(struct buffer *out, const struct route_self *self, struct slice token,
                              struct slice mark);

struct message;
/*
 * Strict routers of RFC 2543 look for the next hop in the Request-URI.
 * route_apply_strict, 16.6 step 6: if the topmost Route (ours has been popped) lacks lr, the
 * Request-URI goes to the end of the Routes and that Route becomes the Request-URI.
 * route_undo_strict, 16.4: the Request-URI is ours because a strict router put it there (the caller
 * knows): the last Route becomes the Request-URI.
 * 1: done, 0: not needed (lr is there, or no Route at all), -ENOMEM; -EINVAL: that Route is
 * malformed or cannot be a Request-URI (headers, a scheme we do not route), nothing was changed.
 */
int route_apply_strict(struct message *message);
int route_undo_strict(struct message *message);

#endif
