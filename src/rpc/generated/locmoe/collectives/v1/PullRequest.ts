import type { OneOf } from '../../../../one-of.js';
// Original file: proto/collectives.proto

import type { OpenInput as _locmoe_collectives_v1_OpenInput, Open as _locmoe_collectives_v1_Open } from '../../../locmoe/collectives/v1/Open.js';
import type { CreditInput as _locmoe_collectives_v1_CreditInput, Credit as _locmoe_collectives_v1_Credit } from '../../../locmoe/collectives/v1/Credit.js';

export interface PullRequestInput {
  'open'?: (_locmoe_collectives_v1_OpenInput | null);
  'credit'?: (_locmoe_collectives_v1_CreditInput | null);
  'request'?: "open"|"credit";
}

export type PullRequest = OneOf<PullRequestFields, 'request'>;

interface PullRequestFields {
  /**
   * The first message, exactly once.
   */
  'open'?: (_locmoe_collectives_v1_Open | null);
  'credit'?: (_locmoe_collectives_v1_Credit | null);
  'request'?: "open"|"credit";
}
