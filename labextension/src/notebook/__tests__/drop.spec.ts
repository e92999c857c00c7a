import { MimeData } from '@lumino/coreutils';

import type { IContextItem } from '../../chat/tokens';
import { Announcer } from '../announcer';
import { acceptDrops, CELLS_MIME, PATHS_MIME } from '../drop';

const item: IContextItem = {
  key: 'file:a.py',
  kind: 'file',
  label: 'a.py',
  auto: false,
  read: async () => null
};

/** A Lumino drag event as the browser dispatches it. */
function drag(type: string, ...mimes: string[]) {
  const mimeData = new MimeData();
  mimes.forEach(mime => mimeData.setData(mime, []));
  const event = new MouseEvent(type, { bubbles: true, cancelable: true });
  return Object.assign(event, {
    mimeData,
    dropAction: 'none',
    proposedAction: 'copy'
  });
}

function target() {
  const node = document.createElement('div');
  const seen: string[] = [];
  const stop = acceptDrops(node, {
    read: async () => [item],
    onItems: items => seen.push(items.map(one => one.key).join()),
    onFiles: files => seen.push(files.map(one => one.name).join()),
    onHover: over => seen.push(over ? 'over' : 'away')
  });
  return { node, seen, stop };
}

describe('a drop target', () => {
  it.each([CELLS_MIME, PATHS_MIME])('takes %s', async mime => {
    const { node, seen } = target();
    node.dispatchEvent(drag('lm-dragenter', mime));
    const over = drag('lm-dragover', mime);
    node.dispatchEvent(over);
    expect(over.dropAction).toBe('copy');
    node.dispatchEvent(drag('lm-drop', mime));
    await Promise.resolve();
    expect(seen).toEqual(['over', 'away', 'file:a.py']);
  });

  it('leaves alone what is no context', () => {
    const { node, seen } = target();
    const event = drag('lm-dragenter', 'application/vnd.lumino.widget-factory');
    node.dispatchEvent(event);
    expect(event.defaultPrevented).toBe(false);
    expect(seen).toEqual([]);
  });

  it('takes nothing once it is undone', () => {
    const { node, seen, stop } = target();
    stop();
    node.dispatchEvent(drag('lm-dragenter', CELLS_MIME));
    expect(seen).toEqual([]);
  });
});

describe('an announcer', () => {
  it('calls once a frame, and nobody who left', () => {
    const due: (() => void)[] = [];
    const announcer = new Announcer(run => due.push(run));
    const heard: string[] = [];
    announcer.add(() => heard.push('a'));
    const leave = announcer.add(() => heard.push('b'));
    announcer.fire();
    announcer.fire();
    leave();
    expect(due.length).toBe(1);
    due[0]();
    expect(heard).toEqual(['a']);
    announcer.fire();
    expect(due.length).toBe(2);
  });
});
