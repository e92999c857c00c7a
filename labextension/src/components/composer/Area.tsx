/** The text itself. */
import type * as React from 'react';

import type { IComposerState } from '../../chat/composer';
import { attachedItems } from '../../chat/items';
import { picturesOf } from './attach';
import type { IComposerProps } from './props';
import type { IAttach } from './useAttach';
import type { IText } from './useText';

export const MENU_ID = 'jp-Cellar-menu';

export interface IAreaProps extends IComposerProps {
  state: IComposerState;
  text: IText;
  /** id of the menu's active row */
  active: string | null;
  focused(): void;
  attach: IAttach;
  keyPressed(event: React.KeyboardEvent<HTMLTextAreaElement>): void;
}

export function Area(props: IAreaProps): JSX.Element {
  const { trans, state, text, active, attach } = props;
  const placeholder = attachedItems(state).length
    ? trans.__('Ask about this…')
    : trans.__('Ask… (@ adds context, / for commands)');
  const paste = (event: React.ClipboardEvent): void => {
    const pictures = picturesOf(event.clipboardData);
    // A copied table brings its picture along: the text is what is meant.
    if (pictures.length && !event.clipboardData.types.includes('text/plain')) {
      event.preventDefault();
      attach.pictures(pictures);
    }
  };
  return (
    <textarea
      ref={text.area}
      className="jp-Cellar-text"
      rows={1}
      value={state.text}
      placeholder={placeholder}
      aria-label={trans.__('Your question')}
      role={active ? 'combobox' : undefined}
      aria-expanded={active ? true : undefined}
      aria-haspopup={active ? 'listbox' : undefined}
      aria-autocomplete="list"
      aria-controls={active ? MENU_ID : undefined}
      aria-activedescendant={active ?? undefined}
      spellCheck={false}
      onChange={text.changed}
      onSelect={text.caretMoved}
      onFocus={props.focused}
      onPaste={paste}
      onKeyDown={props.keyPressed}
    />
  );
}
