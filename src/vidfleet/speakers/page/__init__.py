"""``index.html`` of a video: the film, who speaks when, what was said, and the faces of those who said it."""

from vidfleet.speakers.page.page import PAGE_NAME, ResultsPage, relative_url, write_page

__all__ = ["PAGE_NAME", "ResultsPage", "relative_url", "write_page"]
