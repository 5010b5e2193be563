"""Two traces side by side: the component, its page and its report."""
