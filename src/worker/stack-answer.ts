import { Session } from 'node:inspector';
import { Socket } from 'node:net';

/** Descriptor through which the agent asks its worker for the main thread's stack; each byte is one request. */
export const STACK_FD = 4;

/** Expression that is evaluated on top of whatever JavaScript the main thread runs. */
const STACK = 'Error.stackTraceLimit = 100; new Error().stack';

/**
 * Answers the agent's requests with the main thread's stack, as `Error.stack` has it, as one line of JSON. To
 * be called in another thread, since the main thread may be stuck. There is no answer while the main thread
 * runs native code. No port is opened.
 */
export function answerForStack(fd: number): void {
  const socket = new Socket({ fd });
  socket.on('error', () => undefined);
  socket.on('data', () => {
    const session = new Session();
    session.connectToMainThread();
    session.post('Runtime.evaluate', { expression: STACK, returnByValue: true }, (_error, answer) => {
      socket.write(`${JSON.stringify(answer?.result.value ?? '')}\n`);
      session.disconnect();
    });
  });
}
