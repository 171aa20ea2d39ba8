import type uPlot from '../vendor/uplot.js';

const CLICK_SLACK_PX = 4;
/** A finger taps the same place with this precision. */
const TAP_SLACK_PX = 24;
/** A click counts once no second one, of a double click, has followed. */
const DOUBLE_CLICK_MS = 250;

/**
 * Clicks on a plot that are no drags and no double clicks. A first tap only moves the cursor, as a mouse does
 * without a click; a second one on the same place counts.
 */
export function listenToPlot(
  plot: uPlot,
  { onClick, onLeave }: { readonly onClick: () => void; readonly onLeave: () => void },
): void {
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
    clickTimer = setTimeout(onClick, DOUBLE_CLICK_MS);
  });
  over.addEventListener('dblclick', () => clearTimeout(clickTimer));
  over.addEventListener('mouseleave', onLeave);
}
