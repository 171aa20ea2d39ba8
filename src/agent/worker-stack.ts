import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { processInfo } from '../os/process-info.js';
import { readLines } from './bounded-lines.js';

export interface WorkerStack {
  /** Location in words, for a message. */
  readonly where: string;
  /** Frames, innermost first, as `function (file:line:column)`; empty if the worker runs no JavaScript. */
  readonly frames: readonly string[];
}

/**
 * Finds out where a worker that makes no progress is.
 *
 * @param channel connects to the thread of the worker that answers (worker/stack-answer.ts)
 * @param timeoutMs limit for the answer, which does not come while native code runs
 */
export async function stackOf(pid: number, channel: Duplex, timeoutMs: number): Promise<WorkerStack> {
  const { state } = processInfo(pid);
  if (state === 'T') return { where: 'still stopped', frames: [] };
  if (state === 'X' || state === 'Z')
    return { where: 'nowhere to be seen: its process has ended', frames: [] };
  const stack = await answerOf(channel, timeoutMs);
  if (stack === null)
    return { where: `not in JavaScript, or too slow to say: ${kernelView(pid)}`, frames: [] };
  const frames = framesOf(stack);
  if (frames.length === 0) return { where: 'idle in its event loop, where no JavaScript runs', frames };
  return { where: `in ${frames[0]}`, frames };
}

/** Asks for the stack; null if no answer comes in time. */
function answerOf(channel: Duplex, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const end = (stack: string | null) => {
      clearTimeout(timer);
      resolve(stack);
    };
    const timer = setTimeout(() => end(null), timeoutMs);
    channel.on('error', () => end(null));
    channel.on('close', () => end(null));
    readLines(channel, (line) => end(String(JSON.parse(line))));
    channel.write('?');
  });
}

/**
 * Extracts the frames of an `Error.stack`, without the innermost, which is the evaluated expression, and without those
 * of built-in functions, which have no location.
 */
function framesOf(stack: string): string[] {
  return stack
    .split('\n')
    .filter((line) => /^ {4}at .*:\d+\)?$/.test(line))
    .slice(1)
    .map((line) => line.slice(7).replace('file://', ''))
    .map((frame) => (frame.endsWith(')') ? frame : `(anonymous) (${frame})`));
}

/** Describes a process as the kernel sees it: its state, the kernel function that it sleeps in, its system call. */
function kernelView(pid: number): string {
  const read = (file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1').trim();
    } catch {
      return '';
    }
  };
  const [wchan, call] = [read('wchan'), read('syscall').split(' ')[0]!];
  return [
    `state ${processInfo(pid).state}`,
    wchan !== '' && wchan !== '0' && `kernel function ${wchan}`,
    /^\d+$/.test(call) && `system call ${call}`,
  ]
    .filter(Boolean)
    .join(', ');
}
