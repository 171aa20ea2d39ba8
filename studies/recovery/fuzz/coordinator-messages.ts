import type { LogStore } from '@locmoe/logs';
import { VERSION } from 'locmoe/internal/rpc/version';
import {
  CoordinatorTarget,
  dataAddress,
  eventsOf,
  GENERATION,
  METHODS,
  memberMetadata,
  RUN_ID,
} from './coordinator-target.js';
import { mutateMessage } from './mutate-message.js';
import type { Random } from './random.js';
import { framed, HANGS } from './raw-grpc.js';

const NUM_STRANGERS = 6;
const FOLLOW_MS = 50;
const QUERIES = ['', '{rank="0"}', '{', 'rate({a="b"}[1m])', '{a=~"("}', '{rank=~".+"} |~ "(a+)+$"'];
/** Messages of a round. */
export const COORDINATOR_MESSAGES = NUM_STRANGERS + 2;

/** A message before its mutation, with the nodes that may send it. */
interface Call {
  readonly method: string;
  readonly message: object;
  readonly metadata: Readonly<Record<string, string>>;
}

function strangersCall(random: Random): Call {
  const method = random.pick(['Join', 'GetStatus', 'StreamLogs', 'Stop', 'InjectFault', 'Session']);
  const node = random.below(2);
  const messages: Record<string, object> = {
    Join: { host: 'h', pid: 5, dataAddress: dataAddress(node + random.below(2)), version: VERSION },
    StreamLogs: {
      level: 'info',
      ranks: [0],
      sinceMs: 0,
      follow: false,
      query: random.pick(QUERIES),
      before: 1,
      after: 1,
    },
    Stop: { reason: 'a test' },
    InjectFault: { node: 0 },
    Session: random.pick(eventsOf(node)),
  };
  const metadata = memberMetadata(
    random.below(3),
    random.pick([0, 1, GENERATION, 3]),
    random.pick([RUN_ID, 'q']),
  );
  if (method === 'Session' && random.below(2) === 0)
    metadata[random.pick(Object.keys(metadata))] = random.pick([
      '',
      '-1',
      'NaN',
      '1e9',
      '0x1',
      '1.5',
      '2'.repeat(400),
    ]);
  return { method, message: messages[method] ?? {}, metadata: method === 'Session' ? metadata : {} };
}

/** A message on the wire, sometimes with a wrong length or an unnegotiated compression. */
function onTheWire(message: Buffer, random: Random): Buffer {
  const bytes = framed(message);
  const kind = random.below(12);
  if (kind === 0) bytes[0] = 1 + random.below(255);
  if (kind === 1) bytes.writeUInt32BE(random.pick([0, message.length + 1, 2 ** 24 + 1, 2 ** 32 - 1]), 1);
  return bytes;
}

/**
 * Sends a running coordinator mutated calls from strangers, a status request, and a mutated event from each member.
 * None of them may end or hang the coordinator, nor be accepted if no member would send it.
 *
 * @returns what went wrong
 */
export async function fuzzCoordinator(
  random: Random,
  { runDir, logs, answerMs }: { readonly runDir: string; readonly logs: LogStore; readonly answerMs: number },
): Promise<string[]> {
  const target = await CoordinatorTarget.start(runDir, logs);
  const { problems, coordinator, client, raw } = target;
  try {
    const sessions = await target.begin();
    const calls = Array.from({ length: NUM_STRANGERS }, async () => {
      const { method, message, metadata } = strangersCall(random);
      const { name, bytes } = mutateMessage(METHODS[method]!.requestSerialize(message), random);
      const call = raw.open(METHODS[method]!.path, metadata);
      // A follower of the log stays until it leaves.
      if (method === 'StreamLogs') setTimeout(() => call.cancel(), FOLLOW_MS);
      const { status } = await call.end(onTheWire(bytes, random));
      if (status === HANGS) problems.push(`${method} hangs (${name}: ${bytes.toString('hex')})`);
      if (status === 0 && !['GetStatus', 'StreamLogs', 'Stop'].includes(method))
        problems.push(`${method} of a stranger was taken (${name}: ${bytes.toString('hex')})`);
    });
    await Promise.all(calls);
    if (!['running', 'stopping'].includes(coordinator.lifecycle.state.kind))
      problems.push(`after strangers' calls the run is ${coordinator.lifecycle.state.kind}`);
    const asked = performance.now();
    const reply = await client.status();
    const ms = performance.now() - asked;
    if (reply.runId !== RUN_ID || ms > answerMs)
      problems.push(`${reply.runId} answered after ${ms.toFixed(1)} ms`);
    for (const [node, session] of sessions.entries()) {
      target.speaker = node;
      const events = eventsOf(node).filter(({ event }) => node === 0 || event !== 'validation');
      const mutated = mutateMessage(METHODS.Session.requestSerialize(random.pick(events)), random);
      session.write(framed(METHODS.Session.requestSerialize(events[0]!)));
      const { status } = await session.end(framed(mutated.bytes));
      if (status === HANGS)
        problems.push(`a session hangs (${mutated.name}: ${mutated.bytes.toString('hex')})`);
    }
    if (coordinator.lifecycle.failure !== null && coordinator.lifecycle.failure.culprit === null)
      problems.push(`an error of its own: ${coordinator.lifecycle.failure.error.line}`);
    return problems;
  } finally {
    target.close();
  }
}
