import { agentKill } from './agent-kill.js';
import { coordinatorKill } from './coordinator-kill.js';
import { corruptCheckpoint } from './corrupt-checkpoint.js';
import { diskFull, nan } from './failpoint.js';
import type { FaultKind } from './fault.js';
import { partition, slowLink } from './link.js';
import { stop } from './stop.js';
import { workerKill } from './worker-kill.js';

/** The faults by name. */
export const FAULTS: Readonly<Record<string, FaultKind>> = {
  'worker-kill': { plan: workerKill },
  'agent-kill': { plan: agentKill },
  'coordinator-kill': { plan: coordinatorKill, needsSupervisor: true },
  stop: { plan: stop },
  partition: { plan: partition, needsConsent: true },
  'slow-link': { plan: slowLink, needsConsent: true },
  'disk-full': { plan: diskFull, needsConsent: true },
  'corrupt-checkpoint': { plan: corruptCheckpoint },
  nan: { plan: nan, needsConsent: true },
};
