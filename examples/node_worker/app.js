'use strict';

// The web application of a worker tier: each message of the queue arrives as a POST.
// 200 deletes the message, any other answer returns it to the queue.

const fs = require('node:fs');
const http = require('node:http');

const HOST = process.env.HOST || '127.0.0.1'; // nginx, or the daemon, is on the same machine
const PORT = Number(process.env.PORT || 3000);
const LOG_FILE = process.env.SAMPLE_APP_LOG || '/tmp/sample-app.log';
// The log has the messages' bodies, so nobody else may read it, and it is not kept for ever.
const LOG_BYTES = Number(process.env.SAMPLE_APP_LOG_BYTES || 10 * 1024 * 1024);
const SLOW_MILLISECONDS = 1500;

let log = null;
let logged = 0;

function write(text) {
  try {
    if (log !== null && logged > 0 && logged + Buffer.byteLength(text) > LOG_BYTES) {
      fs.closeSync(log);
      fs.renameSync(LOG_FILE, `${LOG_FILE}.1`); // over the one before
      log = null;
    }
    if (log === null) {
      log = fs.openSync(LOG_FILE, 'a', 0o600);
      logged = fs.fstatSync(log).size;
    }
    logged += fs.writeSync(log, text);
  } catch (error) {
    console.error(`cannot write the log ${LOG_FILE}: ${error.message}; set SAMPLE_APP_LOG to a file that can be written`);
    process.exit(1);
  }
}

write(''); // a log that cannot be written is found out at the start

const now = () => new Date().toISOString();

/** What the message attribute `demo` asks for: [status, milliseconds until the answer]. */
function behaviour(headers) {
  switch (headers['x-aws-sqsd-attr-demo']) {
    case 'fail-once':
      return [headers['x-aws-sqsd-receive-count'] === '1' ? 500 : 200, 0];
    case 'poison':
      return [500, 0];
    case 'slow':
      return [200, SLOW_MILLISECONDS];
    default:
      return [200, 0];
  }
}

function receiveTask(request, response) {
  const name = request.headers['x-aws-sqsd-taskname'];
  const scheduledAt = request.headers['x-aws-sqsd-scheduled-at'];
  write(`${now()} - Received task ${name} scheduled at ${scheduledAt}\n`);
  answer(response, 200, '');
}

function receiveMessage(request, body, response) {
  write(
    `${now()} - Received message: ${body}\n` +
      `Record Http headers: ${JSON.stringify(request.headers)}\n`,
  );
  const [status, delay] = behaviour(request.headers);
  setTimeout(() => answer(response, status, ''), delay);
}

function answer(response, status, text, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers });
  response.end(text);
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const path = request.url.split('?', 1)[0];
    if (request.method === 'POST' && path === '/scheduled') {
      receiveTask(request, response);
    } else if (request.method === 'POST') {
      receiveMessage(request, Buffer.concat(chunks).toString('utf8'), response);
    } else if (request.method === 'GET' || request.method === 'HEAD') {
      answer(response, 200, 'The worker is running. It takes messages as POST.\n');
    } else {
      answer(response, 405, 'Only GET and POST are served.\n', { Allow: 'GET, HEAD, POST' });
    }
  });
});

server.on('error', (error) => {
  console.error(`cannot listen on ${HOST}:${PORT}: ${error.message}; set PORT to a free port`);
  process.exit(1);
});

// The daemon has drained before the app is stopped; what still runs is finished all the same.
process.on('SIGTERM', () => server.close(() => process.exit(0)));

server.listen(PORT, HOST, () => console.log(`listening on ${HOST}:${PORT}, logging to ${LOG_FILE}`));
