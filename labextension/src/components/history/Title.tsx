/** A title that becomes a text field in its place. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

export interface ITitleFieldProps {
  trans: TranslationBundle;
  title: string;
  /** null: it was left as it was */
  done(title: string | null): void;
}

/** As many characters as the contract takes. */
const MAX_TITLE = 200;

export function TitleField(props: ITitleFieldProps): JSX.Element {
  const { trans, title, done } = props;
  const field = React.useRef<HTMLInputElement>(null);
  const over = React.useRef(false);
  React.useEffect(() => field.current?.select(), []);
  /** What is too long is cut where it is seen, and the browser's own bubble says so. */
  const fit = (): void => {
    const input = field.current;
    if (input && input.value.length > MAX_TITLE) {
      input.value = input.value
        .slice(0, MAX_TITLE)
        .replace(/[\uD800-\uDBFF]$/, '');
      input.setCustomValidity(
        trans.__('Cut off: a title has at most %1 characters', MAX_TITLE)
      );
      input.reportValidity();
    } else {
      input?.setCustomValidity('');
    }
  };
  const end = (keep: boolean): void => {
    if (over.current) {
      return;
    }
    over.current = true;
    fit();
    const text = field.current?.value.trim() ?? '';
    done(keep && text !== '' && text !== title ? text : null);
  };
  return (
    <input
      ref={field}
      className="jp-Cellar-titleField"
      aria-label={trans.__('Title of the conversation')}
      defaultValue={title}
      onInput={event => {
        if (!(event.nativeEvent as InputEvent).isComposing) {
          fit();
        }
      }}
      onCompositionEnd={fit}
      onClick={event => event.stopPropagation()}
      onBlur={() => end(true)}
      onKeyDown={event => {
        event.stopPropagation();
        if (event.nativeEvent.isComposing || event.keyCode === 229) {
          return;
        }
        if (event.key === 'Enter') {
          // It would press the button that gets the focus.
          event.preventDefault();
          end(true);
        } else if (event.key === 'Escape') {
          event.preventDefault();
          end(false);
        }
      }}
    />
  );
}
