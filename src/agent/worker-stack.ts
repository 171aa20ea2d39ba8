import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { processInfo } from '../os/process-info.js';

/**
 * Has a worker's inspector listen on a free port of loopback when SIGUSR1 opens it; costs nothing before. Only a process
 * that is about to be killed gets that signal.
 */
export const INSPECTOR_OPTION = '--inspect-port=127.0.0.1:0';

const POLL_MS = 10;
const LISTENING = /^Debugger listening on (ws:\S+)/;
/** What Node writes to standard error about its inspector. */
const INSPECTOR_LINE = /^(Debugger (listening|attached|ending)|For help, see: https:\/\/nodejs\.org)/;

/** Where a worker is. */
export interface WorkerStack {
  /** In words, for a message. */
  readonly where: string;
  /** Innermost first, `function (file:line:column)`; empty if it runs no JavaScript. */
  readonly frames: readonly string[];
}

/** Finds out where a worker is that makes no progress. */
export class StackProbe {
  #url: string | null = null;

  constructor(readonly pid: number) {}

  /** Takes a line of the worker's standard error; returns whether it was about its inspector. */
  takeLine(line: string): boolean {
    this.#url ??= LISTENING.exec(line)?.[1] ?? null;
    return INSPECTOR_LINE.test(line);
  }

  /**
   * The worker's stack from Node's inspector, which interrupts JavaScript but no native code. It stays paused, and its
   * inspector open: kill it.
   *
   * @param timeoutMs for the inspector to open, which it does not in native code; on a busy machine the stack may take
   *   twice as long again
   */
  async read(timeoutMs: number): Promise<WorkerStack> {
    const deadline = performance.now() + timeoutMs;
    if (processInfo(this.pid).state === 'T') return { where: 'still stopped', frames: [] };
    try {
      process.kill(this.pid, 'SIGUSR1');
      while (this.#url === null && performance.now() < deadline) await sleep(POLL_MS);
      const frames = this.#url === null ? null : await pausedFrames(this.#url, 2 * timeoutMs);
      if (frames === null)
        return { where: `not in JavaScript, or too slow to say: ${kernelView(this.pid)}`, frames: [] };
      if (frames.length === 0) return { where: 'idle in its event loop, where no JavaScript runs', frames };
      return { where: `in ${frames[0]}`, frames };
    } catch (error) {
      return {
        where: `nowhere to be seen: ${error instanceof Error ? error.message : String(error)}`,
        frames: [],
      };
    }
  }
}

/** Frames of a paused process; empty if it was idle, null if it does not pause in time. */
function pausedFrames(url: string, timeoutMs: number): Promise<string[] | null> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const end = (frames: string[] | null) => {
      clearTimeout(timer);
      socket.terminate();
      resolve(frames);
    };
    const timer = setTimeout(() => end(null), timeoutMs);
    const files = new Map<string, string>();
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.on('open', () => {
      const call = (id: number, method: string, params = {}) =>
        socket.send(JSON.stringify({ id, method, params }));
      call(1, 'Debugger.enable');
      call(2, 'Debugger.pause');
      // An idle process pauses in this expression, where its own stack is empty.
      call(3, 'Runtime.evaluate', { expression: '0' });
    });
    socket.on('message', (data) => {
      const { method, params } = JSON.parse(String(data)) as InspectorEvent;
      if (method === 'Debugger.scriptParsed') files.set(params.scriptId, params.url);
      else if (method === 'Debugger.paused') end(describeFrames(params.callFrames, files));
    });
  });
}

type InspectorEvent =
  | {
      readonly method: 'Debugger.scriptParsed';
      readonly params: { readonly scriptId: string; readonly url: string };
    }
  | { readonly method: 'Debugger.paused'; readonly params: { readonly callFrames: readonly CallFrame[] } }
  | { readonly method?: undefined; readonly params?: undefined };

interface CallFrame {
  readonly functionName: string;
  readonly location: {
    readonly scriptId: string;
    readonly lineNumber: number;
    readonly columnNumber?: number;
  };
}

/** Without the expression that was evaluated, which is of no file. */
function describeFrames(frames: readonly CallFrame[], files: ReadonlyMap<string, string>): string[] {
  return frames.flatMap(({ functionName, location }) => {
    const file = files.get(location.scriptId) ?? '';
    if (file === '') return [];
    const place = `${file.replace(/^file:\/\//, '')}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1}`;
    return [`${functionName || '(anonymous)'} (${place})`];
  });
}

/** What the kernel says of a process: its state, the kernel function that it sleeps in, its system call. */
function kernelView(pid: number): string {
  const read = (file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'latin1').trim();
    } catch {
      return '';
    }
  };
  const [wchan, call] = [read('wchan'), read('syscall').split(' ')[0]];
  return [
    `state ${processInfo(pid).state}`,
    wchan !== '' && wchan !== '0' && `kernel function ${wchan}`,
    /^\d+$/.test(call) && `system call ${call}`,
  ]
    .filter(Boolean)
    .join(', ');
}
