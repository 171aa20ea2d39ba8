import { Session } from 'node:inspector';
import { Socket } from 'node:net';

/** The descriptor of a worker process through which its agent asks where it is; one byte is one question. */
export const STACK_FD = 4;

/** It is evaluated on top of whatever JavaScript the main thread runs. */
const STACK = 'Error.stackTraceLimit = 100; new Error().stack';

/**
 * Answers the agent in a thread other than the main one, which may be stuck: with the main thread's stack as
 * `Error.stack` has it, as one line of JSON. There is no answer while the main thread runs native code. No port is opened.
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
