// A minimal node agent for logs: joins a run, opens a session, and logs at a constant rate once told to.
import { LogShipper } from 'locmoe/internal/agent/log-shipper';
import { Session } from 'locmoe/internal/agent/session';
import { createLogger } from 'locmoe/internal/logger';
import { CoordinatorClient } from 'locmoe/internal/rpc/coordinator-client';
import { NO_SECURITY } from 'locmoe/internal/rpc/security';
import { VERSION } from 'locmoe/internal/rpc/version';

const [address = ''] = process.argv.slice(2);
const NUM_LINES = 2_000;
const INTERVAL_MS = 5;

const client = new CoordinatorClient(address, NO_SECURITY);
const dataAddress = `127.0.0.1:${process.pid}`;
const { runId, generation, node } = await client.join({
  host: 'here',
  pid: process.pid,
  dataAddress,
  version: VERSION,
});
const shipper = new LogShipper();
const session = new Session(client.session({ runId, generation, node, dataAddress }), {
  command: () => undefined,
  ended: () => process.exit(),
});
shipper.connect({
  isReady: () => session.isReady,
  send: (lines, dropped) => session.send({ event: 'logs', logs: { lines, dropped } }),
});
setInterval(() => session.send({ event: 'heartbeat', heartbeat: { workers: [], logQueueLines: 0 } }), 500);
const logger = createLogger({
  level: 'info',
  origin: { run: runId, generation, node, rank: node },
  destination: { write: (line) => shipper.push(line.trimEnd()) },
});

process.on('message', () => {
  const startMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    // Timers may fire late; the rate stays constant.
    while (sent < NUM_LINES && sent * INTERVAL_MS <= performance.now() - startMs)
      logger.info({ i: sent++, loss: 2.5 }, 'tick');
    if (sent === NUM_LINES) clearInterval(timer);
  }, INTERVAL_MS);
});
process.send?.('ready');
