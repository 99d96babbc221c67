"""What a type checker says of the public interface."""
