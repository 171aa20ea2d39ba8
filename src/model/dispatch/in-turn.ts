import { consume } from '../../ops/autograd.js';
import { gatherRows, scatterRows } from '../../ops/operations.js';
import { combine, dispatch, dispatchLayout } from './dispatch-layout.js';
import type { DispatchContext, Dispatcher } from './dispatcher.js';

/** Runs dispatch, experts and combine one after the other: two all-to-alls forward, two backward. */
export function inTurn(context: DispatchContext): Dispatcher {
  const { communicator, placement } = context;
  return (xTD, decision, experts) => {
    const layout = dispatchLayout(decision, communicator.topology, placement, decision.keptOfRank);
    const { scatter, rowsOfLocalExpert } = layout;
    const rowsND = gatherRows(xTD, scatter.tokensN);
    const rowsRD = consume([rowsND], dispatch(rowsND, layout, context));
    const outputsRD = consume([rowsRD], experts.run(rowsRD, rowsOfLocalExpert));
    const outputsND = consume([outputsRD], combine(outputsRD, layout, context));
    return consume([outputsND], scatterRows(outputsND, decision.weightsTK, scatter));
  };
}
