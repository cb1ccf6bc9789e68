// What the theme leaves to mend for people who use a keyboard or a screen reader.
addEventListener("load", () => {
  // A name that differs from what is shown: the shown text is the name then.
  for (const element of document.querySelectorAll(".search-button-field, summary[aria-label]"))
    element.removeAttribute("aria-label");
  // What scrolls sideways has to be reached with the keyboard.
  for (const element of document.querySelectorAll("article table, article pre, div.math, div.cell_output"))
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
});
