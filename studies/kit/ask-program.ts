import { once } from 'node:events';
import { endOf, endProgram, forkProgram } from '@locmoe/test-kit';

/**
 * Starts a program that answers one message with one message, in a process of its own, and returns the
 * answer.
 *
 * @throws Error if the program ends without an answer; the reason of `signal`, or a timeout. The program has
 *   ended by then.
 */
export async function askProgram<Answer>(
  program: string,
  request: object,
  { signal, deadlineMs }: { readonly signal: AbortSignal; readonly deadlineMs: number },
): Promise<Answer> {
  const child = forkProgram(program);
  try {
    child.send(request);
    const until = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]);
    const [answer] = await Promise.race([
      once(child, 'message', { signal: until }) as Promise<[Answer]>,
      endOf(child).then(({ code }) => Promise.reject(new Error(`${program} ended with code ${code}`))),
    ]);
    return answer;
  } finally {
    await endProgram(child);
  }
}
