// How the thread of a device answers the main thread, which waits.

const WAITING = 0;
export const ANSWERED = { done: 1, failed: 2 } as const;

/** Indices of the words of an answer. */
const STATE = 0;
const MESSAGE_LENGTH = 1;

const MESSAGE_BYTES = 4096;

/** Memory in which the thread answers. The message is the JSON of a `DeviceInfo` after the start, empty after a read, else the error. */
export interface AnswerMemory {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly message: Uint8Array<SharedArrayBuffer>;
}

export function answerMemory(): AnswerMemory {
  return {
    words: new Int32Array(new SharedArrayBuffer(8)),
    message: new Uint8Array(new SharedArrayBuffer(MESSAGE_BYTES)),
  };
}

/** Declares that the last answer is not that of what is asked next; it must be called before the thread is asked. */
export function expectAnswer({ words }: AnswerMemory): void {
  Atomics.store(words, STATE, WAITING);
}

/** Answers with a message, of which as much is kept as there is memory for. */
export function tell({ words, message }: AnswerMemory, state: number, text = ''): void {
  const bytes = new TextEncoder().encode(text).subarray(0, message.length);
  message.set(bytes);
  words[MESSAGE_LENGTH] = bytes.length;
  Atomics.store(words, STATE, state);
  Atomics.notify(words, STATE);
}

/** Waits for an answer, and returns null if there is none within `withinMs`. */
export function awaitAnswer(
  { words, message }: AnswerMemory,
  withinMs: number,
): { readonly state: number; readonly text: string } | null {
  const deadline = performance.now() + withinMs;
  // The thread may wake this wait by the notice of its last answer, which was read before the notice came.
  while (Atomics.load(words, STATE) === WAITING) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return null;
    Atomics.wait(words, STATE, WAITING, leftMs);
  }
  return { state: words[STATE]!, text: new TextDecoder().decode(message.slice(0, words[MESSAGE_LENGTH])) };
}
