// When work is done that is asked for more often than it should be done.

// Once there is silence.
export function later(milliseconds, work) {
  let waiting;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(work, milliseconds);
  };
}

// Soon, however often it is called: with a pause before each time, and never twice at once.
export function paced(milliseconds, work) {
  let begun = false;
  let again = false;
  const begin = () => {
    begun = true;
    setTimeout(async () => {
      again = false;
      try {
        await work();
      } finally {
        begun = false;
        if (again) begin();
      }
    }, milliseconds);
  };
  return () => {
    again = true;
    if (!begun) begin();
  };
}
