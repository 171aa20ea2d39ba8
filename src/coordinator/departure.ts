import { setTimeout as sleep } from 'node:timers/promises';
import type { Membership } from './membership.js';

const GONE_POLL_MS = 20;

/** Waits up to `graceMs` for the nodes that still answer to send their last log lines and end their sessions. */
export async function untilGone(members: Membership, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  while (members.answering.length > 0 && performance.now() < deadline) await sleep(GONE_POLL_MS);
}

/**
 * Waits up to `graceMs` for the nodes that still answer to end their workers, and tells them to join the next
 * generation.
 *
 * @returns pids of the agents that rejoin; the others have left the run
 */
export async function moveToNextGeneration(members: Membership, graceMs: number): Promise<number[]> {
  const deadline = performance.now() + graceMs;
  while (members.answering.some(({ isDone }) => !isDone) && performance.now() < deadline)
    await sleep(GONE_POLL_MS);
  for (const { isDone, session } of members.all)
    if (isDone) session?.send({ command: 'rejoin', rejoin: {} });
    else session?.close();
  return members.all.filter(({ isDone }) => isDone).map(({ request }) => request.pid);
}
