// Loaded into configurable-http-proxy before it starts (NODE_OPTIONS in docker-compose.yml). Two defects of http-proxy-3,
// as of node-http-proxy before it:
//
// It sends a DELETE or OPTIONS without Content-Length on with "Content-Length: 0" and its body all the same
// (CVE-2026-29057). The server behind takes the body for the next request on that kept connection, and completes it with
// the head of whoever comes next, cookies included. Here a body that says where it ends stays as it came.
//
// It keeps a client waiting for the rest of an answer whose server has died. Here the client's connection is cut as the
// server's was: an answer is whole, or is seen not to be.
//
// Fails, and with it the proxy's start, when the library is built differently one day.
'use strict';
const { createRequire } = require('node:module');
const { realpathSync } = require('node:fs');

const { WEB_PASSES } = createRequire(realpathSync(process.argv[1]))(
  'http-proxy-3/dist/lib/http-proxy/passes/web-incoming.js'
);
const { deleteLength, stream } = WEB_PASSES;
if (typeof deleteLength !== 'function' || typeof stream !== 'function') {
  throw new Error('proxy-mends.cjs does not fit this http-proxy-3');
}

WEB_PASSES.deleteLength = request => {
  if (request.headers['transfer-encoding'] === undefined) {
    deleteLength(request);
  }
};

const watched = new WeakSet(); // servers
const failed = new WeakSet(); // responses for which the proxy has an error page of its own on the way
WEB_PASSES.stream = (request, response, options, head, server, fail) => {
  if (!watched.has(server)) {
    watched.add(server);
    server.on('proxyRes', (answer, _, response) => {
      answer.on('close', () => {
        if (!answer.complete) {
          cut(response);
        }
      });
    });
  }
  // Once the client has a part of the answer no error page can follow it; the proxy would try all the same.
  const failOnce = (error, ...about) => {
    if (response.headersSent) {
      response.destroy();
    } else {
      failed.add(response);
      fail(error, ...about);
    }
  };
  return stream(request, response, options, head, server, fail && failOnce);
};

function cut(response) {
  if (response.headersSent) {
    response.destroy();
  } else if (!failed.has(response)) {
    response.getHeaderNames().forEach(name => response.removeHeader(name));
    response.writeHead(502).end();
  }
}
