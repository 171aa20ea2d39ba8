// Plays another user of the machine who tries to get into a run. Started with its own uid, it tries everything that
// needs no command, and prints the result of each attempt as JSON: `null` if refused, otherwise what it got. Then it
// tries to join until its standard input ends, and prints that result the same way.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { WebSocket } from 'ws';
import { loadProto } from '../../dist/rpc/load-proto.js';

const { coordinator, dataPlane, http, pids, runDir, guesses } = JSON.parse(process.argv[2]);
const DEADLINE_MS = 5_000;
const COORDINATOR = ['coordinator', 'locmoe.coordinator.v1.Coordinator'];

/** The answer to a call; null if it was refused for its token. */
function call(address, [file, service], method, message, token) {
  const { path: at, requestSerialize, responseDeserialize } = loadProto(file, service)[method];
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  if (token !== null) metadata.set('authorization', `Bearer ${token}`);
  const stream = client.makeBidiStreamRequest(at, requestSerialize, responseDeserialize, metadata, {
    deadline: Date.now() + DEADLINE_MS,
  });
  return new Promise((resolve) => {
    stream.on('data', (reply) => resolve(JSON.stringify(reply).slice(0, 100)));
    stream.on('error', ({ code, details }) =>
      resolve(code === grpc.status.UNAUTHENTICATED ? null : `${code} ${details}`),
    );
    stream.on('end', () => resolve('ended without an error'));
    stream.write(message);
    stream.end();
  }).finally(() => client.close());
}

/** The first reply that any of the guessed tokens gets. */
async function callWithGuesses(...args) {
  for (const token of [null, ...guesses]) {
    const answer = await call(...args, token);
    if (answer !== null) return answer;
  }
  return null;
}

async function joinWhileAPlaceIsFree() {
  const me = { host: 'here', pid: process.pid, dataAddress: '127.0.0.1:9', version: '0.1.0' };
  let isOver = false;
  process.stdin.resume().once('end', () => {
    isOver = true;
  });
  while (!isOver) {
    const answer = await callWithGuesses(coordinator, COORDINATOR, 'Join', me);
    if (answer !== null) return answer;
  }
  return null;
}

async function fetched(place) {
  for (const init of [{}, ...guesses.map((token) => ({ headers: { authorization: `Bearer ${token}` } }))]) {
    const response = await fetch(`http://${http}${place}`, init);
    if (response.status !== 401) return `${response.status} ${(await response.text()).slice(0, 100)}`;
  }
  return null;
}

function tailed() {
  return new Promise((resolve) => {
    const query = encodeURIComponent('{run=~".+"}');
    const socket = new WebSocket(`ws://${http}/loki/api/v1/tail?query=${query}`);
    socket.on('open', () => resolve('open'));
    socket.on('error', ({ message }) => resolve(message.includes('401') ? null : message));
  });
}

/** The result of the first attempt that does not throw. */
function opened(attempts) {
  for (const [what, attempt] of attempts)
    try {
      attempt();
      return what;
    } catch ({ code }) {
      // A segment is a file, so opening it as a folder fails for everyone.
      if (!['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR'].includes(code)) return `${what}: ${code}`;
    }
  return null;
}

function sharedMemory() {
  const segments = readdirSync('/dev/shm').filter((name) => name.startsWith('locmoe-'));
  return opened([
    ...segments.flatMap((name) => {
      const place = path.join('/dev/shm', name);
      return [
        [place, () => readFileSync(place)],
        [place, () => readdirSync(place)],
      ];
    }),
    ...pids.flatMap((pid) =>
      ['mem', 'environ', 'maps'].map((file) => [
        `${file} of ${pid}`,
        () => readFileSync(`/proc/${pid}/${file}`),
      ]),
    ),
    ...pids.map((pid) => [`fd of ${pid}`, () => readlinkSync(`/proc/${pid}/fd/0`)]),
  ]);
}

const ways = {
  'pull from a node': await callWithGuesses(
    dataPlane,
    ['collectives', 'locmoe.collectives.v1.Collectives'],
    'Pull',
    {
      open: { runId: path.basename(runDir), generation: 1, node: 0, ringBytes: 2_097_152 },
    },
  ),
  'fetch a snapshot': await callWithGuesses(
    dataPlane,
    ['collectives', 'locmoe.collectives.v1.Snapshots'],
    'Fetch',
    {},
  ),
  status: await callWithGuesses(coordinator, COORDINATOR, 'GetStatus', {}),
  logs: await callWithGuesses(coordinator, COORDINATOR, 'StreamLogs', {}),
  stop: await callWithGuesses(coordinator, COORDINATOR, 'Stop', { reason: 'a stranger' }),
  fault: await callWithGuesses(coordinator, COORDINATOR, 'InjectFault', { link: { node: 0, seconds: 60 } }),
  page: (await fetched('/')) ?? (await fetched('/api/runs')) ?? (await fetched('/page/main.js')),
  loki: await fetched('/loki/api/v1/query?query=%7Brun%3D~%22.%2B%22%7D'),
  metrics: await fetched('/metrics'),
  tail: await tailed(),
  memory: sharedMemory(),
  signals: opened(pids.map((pid) => [`SIGTERM to ${pid}`, () => process.kill(pid, 'SIGTERM')])),
  folder: opened([
    ['the folder', () => readdirSync(runDir)],
    ...['run.json', 'token', 'metrics.ndjson', 'logs', 'checkpoints'].map((name) => [
      name,
      () => readFileSync(path.join(runDir, name)),
    ]),
  ]),
};
console.log(JSON.stringify(ways));
console.log(JSON.stringify({ join: await joinWhileAPlaceIsFree() }));
