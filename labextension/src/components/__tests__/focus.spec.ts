import { guardFocus } from '../focus';

const frame = () =>
  new Promise<void>(resolve => requestAnimationFrame(() => resolve()));

function panelOf(rows: readonly string[]): HTMLElement {
  const root = document.createElement('div');
  root.innerHTML = `
    <ol>${rows
      .map(
        row =>
          `<li id="${row}"><button class="send"></button><button class="remove"></button></li>`
      )
      .join('')}</ol>
    <div class="jp-Cellar-composer"><textarea></textarea></div>`;
  document.body.append(root);
  return root;
}

describe('the guard of the focus', () => {
  let root: HTMLElement;
  let end: () => void;
  const find = (selector: string) => root.querySelector<HTMLElement>(selector)!;
  /** Press Remove in this row. */
  const remove = async (row: string): Promise<void> => {
    find(`#${row} .remove`).focus();
    find(`#${row}`).remove();
    await frame();
    await frame();
  };
  beforeEach(() => {
    root = panelOf(['a', 'b', 'c']);
    end = guardFocus(root);
  });
  afterEach(() => {
    end();
    root.remove();
  });

  it('goes to the same control of the row that stands there now', async () => {
    await remove('b');
    expect(document.activeElement).toBe(find('#c .remove'));
  });

  it('goes to the last row when the last one went away', async () => {
    await remove('c');
    expect(document.activeElement).toBe(find('#b .remove'));
  });

  it('goes into the composer when the list is empty', async () => {
    await remove('a');
    await remove('b');
    await remove('c');
    expect(document.activeElement).toBe(find('textarea'));
  });

  it('stays in the row when only the control went away', async () => {
    const field = document.createElement('input');
    find('#b').prepend(field);
    field.focus();
    field.remove();
    await frame();
    await frame();
    expect(document.activeElement).toBe(find('#b .send'));
  });

  it('leaves alone who went elsewhere', async () => {
    find('#b .remove').focus();
    find('#b .remove').blur();
    await frame();
    find('#b').remove();
    await frame();
    await frame();
    expect(document.activeElement).toBe(document.body);
  });
});
