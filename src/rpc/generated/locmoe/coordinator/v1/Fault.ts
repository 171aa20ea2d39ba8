import type { OneOf } from '../../../../one-of.js';
// Original file: proto/coordinator.proto

import type { LinkFaultInput as _locmoe_coordinator_v1_LinkFaultInput, LinkFault as _locmoe_coordinator_v1_LinkFault } from '../../../locmoe/coordinator/v1/LinkFault.js';
import type { FailpointFaultInput as _locmoe_coordinator_v1_FailpointFaultInput, FailpointFault as _locmoe_coordinator_v1_FailpointFault } from '../../../locmoe/coordinator/v1/FailpointFault.js';

export interface FaultInput {
  'node'?: (number);
  'link'?: (_locmoe_coordinator_v1_LinkFaultInput | null);
  'failpoint'?: (_locmoe_coordinator_v1_FailpointFaultInput | null);
  'fault'?: "link"|"failpoint";
}

/**
 * A fault that a node inflicts on itself.
 */
export type Fault = OneOf<FaultFields, 'fault'>;

interface FaultFields {
  'node': (number);
  'link'?: (_locmoe_coordinator_v1_LinkFault | null);
  'failpoint'?: (_locmoe_coordinator_v1_FailpointFault | null);
  'fault'?: "link"|"failpoint";
}
