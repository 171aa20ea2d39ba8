import type { RunRecord } from '@locmoe/run-format';
import { isOfThisMachine, processIdentity } from '@locmoe/run-format/process-identity';
import { asTrainerError } from '../../errors.js';
import { CoordinatorClient } from '../../rpc/coordinator-client.js';
import type { Security } from '../../rpc/security.js';

/**
 * Tells whether the run's coordinator is alive. On its own machine the process is looked up by pid and start time;
 * elsewhere its address must answer, where a refusal for lack of credentials counts as an answer.
 */
export async function isLive(record: RunRecord, security: Security): Promise<boolean> {
  if (record.state === 'finished' || record.state === 'failed') return false;
  if (isOfThisMachine(record)) return processIdentity(record.pid) === record.process;
  const client = new CoordinatorClient(record.address, security);
  try {
    const { runId, generation } = await client.status();
    return runId === record.runId && generation === record.generation;
  } catch (error) {
    return asTrainerError(error).code !== 'UNAVAILABLE';
  } finally {
    client.close();
  }
}

/** Returns the address at which this process reaches the run's coordinator. */
export function reachableAddress(record: RunRecord): string {
  return (isOfThisMachine(record) ? record.localAddress : undefined) ?? record.address;
}
