/** A title that becomes a text field in its place. */
import * as React from 'react';

export interface ITitleFieldProps {
  title: string;
  label: string;
  /** null: it was left as it was */
  done(title: string | null): void;
}

/** As many characters as the contract takes. */
const MAX_TITLE = 200;

export function TitleField(props: ITitleFieldProps): JSX.Element {
  const { title, label, done } = props;
  const field = React.useRef<HTMLInputElement>(null);
  const over = React.useRef(false);
  React.useEffect(() => field.current?.select(), []);
  const end = (keep: boolean): void => {
    if (over.current) {
      return;
    }
    over.current = true;
    const text = field.current?.value.trim() ?? '';
    done(keep && text !== '' && text !== title ? text : null);
  };
  return (
    <input
      ref={field}
      className="jp-Cellar-titleField"
      aria-label={label}
      defaultValue={title}
      maxLength={MAX_TITLE}
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
