// Original file: proto/coordinator.proto

import type { DomainLossInput as _locmoe_coordinator_v1_DomainLossInput, DomainLoss as _locmoe_coordinator_v1_DomainLoss } from '../../../locmoe/coordinator/v1/DomainLoss.js';

export interface ValidationReportInput {
  'step'?: (number);
  'domains'?: (_locmoe_coordinator_v1_DomainLossInput)[];
}

export interface ValidationReport {
  'step': (number);
  'domains': (_locmoe_coordinator_v1_DomainLoss)[];
}
