import type uPlot from '../vendor/uplot.js';

const CLICK_SLACK_PX = 4;
/** Taps within this distance are on the same place. */
const TAP_SLACK_PX = 24;
/** A click counts if no second one follows within this time, which would make a double click. */
const DOUBLE_CLICK_MS = 250;

interface PlotListener {
  /** The x value under the cursor; null if there is none. */
  readonly xAtCursor: () => number | null;
  readonly onClick: (x: number) => void;
  readonly onLeave: () => void;
}

/**
 * Reports clicks on a plot that are neither drags nor double clicks. A first tap only moves the cursor, as
 * hovering does with a mouse; a second tap on the same place counts as a click.
 */
export function listenToPlot(plot: uPlot, { xAtCursor, onClick, onLeave }: PlotListener): void {
  const { over } = plot;
  let pressedAt = 0;
  let tappedAt: number | null = null;
  let clickTimer: ReturnType<typeof setTimeout> | undefined;
  over.addEventListener('mousedown', ({ clientX }) => {
    pressedAt = clientX;
  });
  over.addEventListener('pointermove', ({ pointerType, clientX }) => {
    if (pointerType !== 'touch') return;
    plot.setCursor({ left: clientX - over.getBoundingClientRect().left, top: 0 });
  });
  over.addEventListener('click', (event) => {
    clearTimeout(clickTimer);
    if (Math.abs(event.clientX - pressedAt) >= CLICK_SLACK_PX) return;
    if (event instanceof PointerEvent && event.pointerType === 'touch') {
      const isSecond = tappedAt !== null && Math.abs(event.clientX - tappedAt) < TAP_SLACK_PX;
      tappedAt = event.clientX;
      if (!isSecond) return;
    }
    // The x value is read now, as the pointer may move before the click counts.
    const x = xAtCursor();
    if (x !== null) clickTimer = setTimeout(onClick, DOUBLE_CLICK_MS, x);
  });
  over.addEventListener('dblclick', () => clearTimeout(clickTimer));
  over.addEventListener('mouseleave', onLeave);
}

/** A pointer within this distance is at a point. */
const NEAR_PX = 14;

/**
 * Returns the row of the point nearest to the pointer; null if none is near. Points off the scale count as on
 * its edge.
 */
export function nearestPoint(plot: uPlot, nearestRow: number): number | null {
  const { left = -1, top = -1 } = plot.cursor;
  const xs = plot.data[0];
  const height = plot.over.clientHeight;
  let [least, row] = [NEAR_PX ** 2, null as number | null];
  const look = (at: number) => {
    const dx = plot.valToPos(xs[at]!, 'x') - left;
    if (Math.abs(dx) > NEAR_PX) return false;
    for (const [index, { scale = 'y' }] of plot.series.entries()) {
      const value = index === 0 ? null : plot.data[index]?.[at];
      if (value == null) continue;
      const y = Math.max(0, Math.min(height, plot.valToPos(value, scale)));
      const distance = dx ** 2 + (y - top) ** 2;
      if (distance < least) [least, row] = [distance, at];
    }
    return true;
  };
  for (let at = nearestRow; at >= 0 && look(at); at--);
  for (let at = nearestRow + 1; at < xs.length && look(at); at++);
  return row;
}
