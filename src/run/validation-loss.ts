import type { ValidationReport } from '../rpc/messages.js';

/** Mean cross-entropy over the validation tokens of all domains, in nats per token; NaN without any. */
export function meanLoss({ domains }: Pick<ValidationReport, 'domains'>): number {
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  return domains.reduce((sum, domain) => sum + domain.loss * domain.tokens, 0) / tokens;
}
