// Loaded into configurable-http-proxy before it starts (NODE_OPTIONS in docker-compose.yml).
//
// http-proxy-3, as node-http-proxy before it (CVE-2026-29057), sends a DELETE or OPTIONS without Content-Length on with
// "Content-Length: 0" and its body all the same. The server behind takes the body for the next request on that kept
// connection, and completes it with the head of whoever comes next, cookies included. A body that says where it ends
// stays as it came. Fails, and with it the proxy's start, when the library is built differently one day.
'use strict';
const { createRequire } = require('node:module');
const { realpathSync } = require('node:fs');

const { WEB_PASSES } = createRequire(realpathSync(process.argv[1]))(
  'http-proxy-3/dist/lib/http-proxy/passes/web-incoming.js'
);
const { deleteLength } = WEB_PASSES;
if (typeof deleteLength !== 'function') {
  throw new Error('whole-requests.cjs does not fit this http-proxy-3');
}
WEB_PASSES.deleteLength = request => {
  if (request.headers['transfer-encoding'] === undefined) {
    deleteLength(request);
  }
};
