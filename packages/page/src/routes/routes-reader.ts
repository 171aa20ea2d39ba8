import type { Worker } from 'node:worker_threads';
import { TrainerError } from '@locmoe/run-format/errors';
import { startThread } from 'locmoe/internal/os/start-thread';
import type { RoutesAnswer, RoutesQuestion, RoutesRequest, StepFiles } from './routes-thread.js';

/** Ten times as long as a step of two million choices takes. */
const TIMEOUT_MS = 60_000;
/** The thread ends, and what it has read is released, after this time without a question. */
const IDLE_MS = 120_000;
const MOST_WAITING = 32;

interface Waiting {
  readonly resolve: (reply: object | null) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Reads recorded routes in a separate thread, which starts with the first question. */
export class RoutesReader {
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | null = null;
  #idle: NodeJS.Timeout | undefined;
  #numAsked = 0;

  /**
   * @returns null if the step has no such sequence or expert
   * @throws TrainerError if the routes cannot be read
   */
  ask(files: StepFiles, question: RoutesQuestion): Promise<object | null> {
    if (this.#waiting.size >= MOST_WAITING)
      return Promise.reject(new TrainerError('NO_RESOURCE', 'routes are being read for others; ask again'));
    clearTimeout(this.#idle);
    this.#thread ??= this.#start();
    const id = this.#numAsked++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#end(`the routes of step ${files.step} could not be read in ${TIMEOUT_MS / 1e3} s`),
        TIMEOUT_MS,
      );
      timer.unref();
      this.#waiting.set(id, { resolve, reject, timer });
      this.#thread!.postMessage({ id, files, question } satisfies RoutesRequest);
    });
  }

  close(): void {
    this.#end('the page is closed');
  }

  #start(): Worker {
    const thread = startThread(new URL('./routes-thread.js', import.meta.url));
    thread.unref();
    thread.on('message', (answer: RoutesAnswer) => this.#settle(answer));
    const gone = (why: string) => {
      if (this.#thread === thread) this.#end(`routes could not be read: ${why}`);
    };
    thread.on('error', (error) => gone(error.message));
    thread.on('exit', () => gone('their thread has ended'));
    return thread;
  }

  #settle({ id, reply = null, problem }: RoutesAnswer): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (problem === undefined) waiting.resolve(reply);
    else waiting.reject(new TrainerError('BAD_INPUT', problem));
    if (this.#waiting.size > 0) return;
    this.#idle = setTimeout(() => this.close(), IDLE_MS);
    this.#idle.unref();
  }

  /** Ends the thread and rejects the waiting questions. The next question starts another thread. */
  #end(why: string): void {
    clearTimeout(this.#idle);
    const thread = this.#thread;
    this.#thread = null;
    void thread?.terminate();
    for (const id of [...this.#waiting.keys()]) this.#settle({ id, problem: why });
    clearTimeout(this.#idle);
  }
}
