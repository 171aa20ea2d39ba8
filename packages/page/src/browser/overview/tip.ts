import { fill, h } from '../dom.js';

const GAP = 12;

/** Tooltip that names what lies under the cursor. */
export class Tip {
  readonly element = h('div', { class: 'tip' });

  constructor() {
    this.element.hidden = true;
  }

  /**
   * @param left of the cursor in px of the parent, with its `bottom`
   * @param width of the parent
   */
  show([title, ...lines]: readonly string[], left: number, bottom: number, width: number): void {
    fill(this.element, h('b', {}, title), ...lines.map((line) => h('span', {}, line)));
    this.element.hidden = false;
    const { offsetWidth } = this.element;
    const isRoomRight = left + GAP + offsetWidth <= width;
    const place = isRoomRight ? left + GAP : Math.max(0, left - GAP - offsetWidth);
    this.element.style.left = `${place}px`;
    this.element.style.top = `${bottom}px`;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
