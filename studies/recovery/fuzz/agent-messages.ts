import type { Frame } from 'locmoe/internal/rpc/generated/messages';
import { AgentTarget, encodeFrame, OPEN, Pull, until } from './agent-target.js';
import { mutateMessage } from './mutate-message.js';
import type { Random } from './random.js';
import { framed, HANGS } from './raw-grpc.js';

const NUM_STRANGERS = 6;
/** Number of mutated messages in a round: the strangers' calls, a frame and a credit of the peer. */
export const AGENT_MESSAGES = NUM_STRANGERS + 2;
/** Size in bytes of a message from rank 0 to rank 1; more than its header. */
const SENT_BYTES = 200;

interface PullRequest {
  readonly open?: typeof OPEN;
  readonly credit?: { readonly consumed: readonly number[] };
}

/** A message decoded by protobuf's own decoder; null if it is invalid. */
function decoded<T>(decode: (bytes: Buffer) => object, bytes: Buffer): T | null {
  try {
    return decode(bytes) as T;
  } catch {
    return null;
  }
}

/**
 * Sends a node agent mutated calls from strangers, then its peer's valid ones, and from that peer a mutated frame and a
 * mutated credit. None of them may end or hang the agent. A frame or credit is accepted only if it is valid; otherwise
 * the stream breaks and nothing of it reaches the worker's memory.
 *
 * @returns what went wrong
 */
export async function fuzzAgent(
  random: Random,
  { answerMs }: { readonly answerMs: number },
): Promise<string[]> {
  const target = await AgentTarget.start();
  try {
    const problems = await strangersCall(target, random);
    const peer = target.raw.open(Pull.path);
    const asked = performance.now();
    peer.write(framed(Pull.requestSerialize({ open: OPEN })));
    await Promise.race([peer.answered, peer.ended]);
    const ms = performance.now() - asked;
    if (ms > answerMs) problems.push(`the peer got its stream after ${ms.toFixed(1)} ms`);
    if (target.errors.length > 0) problems.push(`strangers failed the agent: ${target.errors[0]!.line}`);
    problems.push(...(await frameFromPeer(target, random)));

    const ring = target.segment.ring(0, 1);
    ring.write(messageOf(SENT_BYTES), 0);
    target.segment.doorbell(1).wake();
    if (!(await until(() => ring.tail === SENT_BYTES))) problems.push('the peer was sent nothing');
    const { name, bytes } = mutateMessage(
      Pull.requestSerialize({ credit: { consumed: [0, 1, SENT_BYTES / 2, 0, 1, SENT_BYTES] } }),
      random,
    );
    const { status } = await peer.end(framed(bytes));
    if (status === HANGS) problems.push(`the peer's call hangs (${name}: ${bytes.toString('hex')})`);
    if (status === 0 && !isSoundCredit(decoded(Pull.requestDeserialize, bytes)))
      problems.push(`a credit was taken (${name}: ${bytes.toString('hex')})`);
    return problems;
  } finally {
    await target.close();
  }
}

/** A message in a ring: sequence number, size of the body, and fields that the relay ignores. */
function messageOf(totalBytes: number): Buffer {
  const message = Buffer.alloc(totalBytes);
  message.writeUInt32LE(1, 0);
  message.writeUInt32LE(totalBytes, 4);
  return message;
}

async function strangersCall({ raw }: AgentTarget, random: Random): Promise<string[]> {
  const problems: string[] = [];
  const calls = Array.from({ length: NUM_STRANGERS }, async () => {
    const isOpen = random.below(4) > 0;
    const generation = random.pick([0, 1, OPEN.generation, 3]);
    const message = isOpen ? { open: { ...OPEN, generation } } : { credit: { consumed: [0, 1, 0] } };
    const { name, bytes } = mutateMessage(Pull.requestSerialize(message), random);
    // Such a call would count as the peer's.
    if (isTheirs(decoded<PullRequest>(Pull.requestDeserialize, bytes))) return;
    const { status } = await raw.open(Pull.path).end(framed(bytes));
    if (status === HANGS) problems.push(`a stranger's call hangs (${name}: ${bytes.toString('hex')})`);
    // A call that ends without a message asks for nothing.
    if (status === 0 && bytes.length > 0)
      problems.push(`a stranger was taken (${name}: ${bytes.toString('hex')})`);
  });
  await Promise.all(calls);
  return problems;
}

function isTheirs(request: PullRequest | null): boolean {
  const open = request?.open;
  return open !== undefined && JSON.stringify({ ...OPEN, ...open }) === JSON.stringify(OPEN);
}

/** Whether node 1 could have sent this credit after rank 0 sent rank 1 `SENT_BYTES`. */
function isSoundCredit(request: PullRequest | null): boolean {
  const consumed = request?.credit?.consumed;
  if (consumed === undefined || request?.open !== undefined || consumed.length % 3 !== 0) return false;
  let before = 0;
  for (let i = 0; i < consumed.length; i += 3) {
    const [source, destination, position] = consumed.slice(i, i + 3) as [number, number, number];
    if (source !== 0 || destination !== 1 || position < before || position > SENT_BYTES) return false;
    before = position;
  }
  return true;
}

/** A mutated frame between two good ones. */
async function frameFromPeer({ toAgent, segment, errors }: AgentTarget, random: Random): Promise<string[]> {
  const ring = segment.ring(1, 0);
  const piece = (offset: number, length: number): Frame => ({
    generation: OPEN.generation,
    operation: 1,
    sections: [1, 0, offset, length],
    payload: random.bytes(length),
  });
  const first = piece(0, 40);
  toAgent.write(encodeFrame(first));
  const { name, bytes } =
    random.below(2) === 0
      ? mutateMessage(encodeFrame(piece(40, 60)), random)
      : misdirected(piece(40, 60), random);
  toAgent.write(bytes);
  const frame = decoded<Frame>(Pull.responseDeserialize, bytes);
  const taken = frame === null ? null : bytesOf(frame, 40);
  const head = 40 + (taken?.length ?? 0);
  const last = piece(head, 10);
  toAgent.write(encodeFrame(last));
  const what = `(${name}: ${bytes.toString('hex')})`;
  if (!(await until(() => errors.length > 0 || ring.head === head + 10))) return [`a frame hangs ${what}`];
  if (errors.length > 0)
    return ring.head === 40 || ring.head === head ? [] : [`a frame was taken in part ${what}`];
  if (taken === null) return [`a frame was taken ${what}`];
  const arrived = Buffer.alloc(head + 10);
  ring.read(arrived, 0);
  return arrived.equals(Buffer.concat([first.payload, taken, last.payload]))
    ? []
    : [`other bytes arrived ${what}`];
}

/** A well-formed frame of another generation, rank, place or size. */
function misdirected(frame: Frame, random: Random): { readonly name: string; readonly bytes: Buffer } {
  const [source, destination, offset, length] = frame.sections as [number, number, number, number];
  const name = random.pick(['generation', 'source', 'destination', 'offset', 'length', 'size']);
  if (name === 'size') {
    const payload = random.bytes(OPEN.ringBytes);
    const sections = [source, destination, offset, payload.length];
    return { name: 'more than its credit', bytes: encodeFrame({ ...frame, sections, payload }) };
  }
  const sections = [
    name === 'source' ? random.pick([0, 2, 2 ** 32 - 1]) : source,
    name === 'destination' ? random.pick([1, 2, 2 ** 32 - 1]) : destination,
    name === 'offset' ? random.pick([0, offset - 1, offset + 1, 2 ** 31, 2 ** 32 - 1]) : offset,
    name === 'length' ? random.pick([0, length - 1, length + 1, 2 ** 32 - 1]) : length,
  ];
  const generation = name === 'generation' ? random.pick([0, 1, 3, 2 ** 32 - 1]) : frame.generation;
  return { name: `another ${name}`, bytes: encodeFrame({ ...frame, generation, sections }) };
}

/** The bytes that a frame carries from rank 1 to rank 0 at an offset; null if node 1 may not send it. */
function bytesOf({ generation, sections, payload }: Frame, offset: number): Uint8Array | null {
  if (generation !== OPEN.generation || sections.length % 4 !== 0) return null;
  let at = offset;
  for (let i = 0; i < sections.length; i += 4) {
    const [source, destination, begin, length = 0] = sections.slice(i, i + 4);
    if (source !== 1 || destination !== 0 || begin !== at) return null;
    at += length;
  }
  return at - offset === payload.length && at <= OPEN.ringBytes ? payload : null;
}
